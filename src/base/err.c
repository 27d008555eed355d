/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local struct err last;

__attribute__((format(printf, 2, 0))) static int store(int code, const char *fmt, va_list ap,
						       const char *reason)
{
	size_t n;

	vsnprintf(last.text, sizeof(last.text), fmt, ap);
	if (reason) {
		n = strlen(last.text);
		snprintf(last.text + n, sizeof(last.text) - n, ": %s", reason);
	}
	last.code = code;
	return -code;
}

int fail(int code, const char *fmt, ...)
{
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = store(code, fmt, ap, NULL);
	va_end(ap);
	return ret;
}

int fail_errno(const char *fmt, ...)
{
	int code = errno;
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = store(code, fmt, ap, err_reason(code));
	va_end(ap);
	return ret;
}

int fail_in(int ret, const char *fmt, ...)
{
	char context[ERR_TEXT_MAX];
	char old[ERR_TEXT_MAX];
	va_list ap;
	size_t n;

	memcpy(old, last.text, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(context, sizeof(context), fmt, ap);
	va_end(ap);
	n = strlen(context);
	memcpy(last.text, context, n + 1);
	snprintf(last.text + n, sizeof(last.text) - n, ": %s", old);
	if (!last.code)
		last.code = -ret;
	return ret;
}

const struct err *err_last(void)
{
	return &last;
}

void err_clear(void)
{
	last.code = 0;
	last.text[0] = '\0';
}

void err_set(const struct err *e)
{
	last = *e;
	last.text[sizeof(last.text) - 1] = '\0';
}

const char *err_reason(int code)
{
	static const struct {
		int code;
		const char *text;
	} plain[] = {
		/* callers of a runtime match these in lower case */
		{ EPERM, "operation not permitted" }, { ENOENT, "no such file or directory" },
		{ ESRCH, "no such process" },         { EACCES, "permission denied" },
		{ EISDIR, "is a directory" },         { ENOTDIR, "not a directory" },
	};
	const char *text;

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (plain[i].code == code)
			return plain[i].text;
	text = strerrordesc_np(code);
	return text ? text : "unknown error";
}
