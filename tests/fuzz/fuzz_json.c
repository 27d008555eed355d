/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON reader on any bytes; what it accepts, the writer must write so that it reads the
 * same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "oci/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Compact text from indented text and back: both must mean the same. */
static const char *rewrite(struct arena *a, const struct json *v, bool indent, size_t *out_len)
{
	struct json_writer *w = json_writer_new(a, indent);

	json_put_tree(w, NULL, v);
	return json_writer_text(w, out_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena a = arena_new();
	const struct json *v, *again;
	const char *first, *second, *lines;
	size_t len;

	if (json_parse(a, "fuzz.json", (const char *)data, size, &v))
		return 0;
	first = rewrite(a, v, false, NULL);
	lines = rewrite(a, v, true, &len);
	if (json_parse(a, "again.json", lines, len, &again))
		abort();
	second = rewrite(a, again, false, NULL);
	if (strcmp(first, second) != 0)
		abort();
	return 0;
}
