/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/ckpt_show.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "ckpt/ckpt.h"
#include "oci/json.h"
#include "oci/opts.h"

#define INDENT 4
#define TEXT_AT 12
#define BOLD "\033[1m"
#define PLAIN "\033[0m"

static int compare(const void *a, const void *b)
{
	const struct ckpt_problem *x = a, *y = b;

	if (x->pid != y->pid)
		return (x->pid > y->pid) - (x->pid < y->pid);
	return (x->fd > y->fd) - (x->fd < y->fd);
}

/* What a process calls its files may hold anything. */
static const char *harmless(struct arena *a, const char *text)
{
	size_t size = 6 * strlen(text) + 1;
	struct str s = { .buf = arena_alloc(a, size), .size = size };

	s.buf[0] = '\0';
	str_add_json(&s, text);
	return s.buf;
}

static void heading(const struct ckpt_problem *p, FILE *out, bool colour)
{
	fputs(colour ? BOLD : "", out);
	if (p->pid)
		fprintf(out, "process %d (%d on the host)", p->pid, p->host);
	else
		fputs("the container", out);
	fprintf(out, "%s\n", colour ? PLAIN : "");
}

void ckpt_show_text(struct arena *a, struct ckpt_problems *list, FILE *out, bool colour)
{
	size_t used;

	if (!list->n) {
		fputs("everything can be saved\n", out);
		return;
	}
	qsort(list->v, list->n, sizeof(*list->v), compare);
	for (size_t i = 0; i < list->n; i++) {
		const struct ckpt_problem *p = &list->v[i];

		if (!i || p->pid != p[-1].pid)
			heading(p, out, colour);
		used = (size_t)(p->fd < 0 ? fprintf(out, "%*s", INDENT, "")
					  : fprintf(out, "%*sfd %d ", INDENT, "", p->fd));
		opts_wrap(out, harmless(a, p->what), TEXT_AT, used);
		opts_wrap(out, harmless(a, p->why), TEXT_AT, 0);
	}
	fprintf(out, "%zu %s can't be saved; nothing was stopped\n", list->n,
		list->n == 1 ? "thing" : "things");
}

const char *ckpt_show_json(struct arena *a, const struct ckpt_problems *list, size_t *out_len)
{
	struct json_writer *w = json_writer_new(a, true);

	json_open_array(w, NULL);
	for (size_t i = 0; i < list->n; i++) {
		const struct ckpt_problem *p = &list->v[i];

		json_open_object(w, NULL);
		if (p->pid) {
			json_put_i64(w, "process", p->pid);
			json_put_i64(w, "hostPid", p->host);
		}
		if (p->fd >= 0)
			json_put_i64(w, "fd", p->fd);
		json_put_str(w, "what", p->what);
		json_put_str(w, "why", p->why);
		json_close(w);
	}
	json_close(w);
	return json_writer_text(w, out_len);
}
