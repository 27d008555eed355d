/* SPDX-License-Identifier: Apache-2.0 */
#include "super/clock.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "arch/regs.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "super/handler.h"
#include "task/peek.h"
#include "task/proc.h"

#define NS 1000000000
#define IMAGE_MAX (64u << 10)
#define WORDS 512
#define STACK_WORDS_MAX (1u << 20) /* of arguments and environment: more than execve(2) takes */

static int64_t floor_div(int64_t *rest, int64_t unit)
{
	int64_t whole = *rest / unit;

	*rest -= whole * unit;
	if (*rest < 0) {
		*rest += unit;
		whole--;
	}
	return whole;
}

static void set_offset(struct clock *c, int64_t sec, int64_t nsec)
{
	sec += floor_div(&nsec, NS);
	/* in whole microseconds, or gettimeofday(2) could not agree */
	c->offset = (struct arch_offset){ sec, nsec / 1000 * 1000, nsec / 1000 };
	c->set = true;
	if (c->patched)
		memcpy(c->patched + c->at, &c->offset, sizeof(c->offset));
}

void clock_begin(struct clock *c)
{
	struct timespec now;

	if (c->set)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	set_offset(c, c->plan.sec - now.tv_sec, c->plan.nsec - now.tv_nsec);
}

/* Where the kernel's and what is made of it differ. */
static void compare(struct clock *c)
{
	size_t end = c->own.len;

	while (c->own.bytes[c->from] == c->patched[c->from])
		c->from++;
	while (c->own.bytes[end - 1] == c->patched[end - 1])
		end--;
	c->len = end - c->from;
	/* what is not known yet may be all zeros there */
	if (c->from + c->len < c->at + sizeof(c->offset))
		c->len = c->at + sizeof(c->offset) - c->from;
}

static void find_calls(struct clock *c)
{
	const struct vdso *v = &c->own;
	size_t at = 0, found;

	while (c->n_calls < CLOCK_CALLS_MAX &&
	       arch_find_call(v->arch, v->bytes + at, v->loaded - at, &found) == 0) {
		at += found + v->arch->call_len;
		c->calls[c->n_calls++] = at;
	}
}

static void prepare(struct arena *a, struct clock *c)
{
	struct vdso patched;
	int ret = vdso_own(a, &c->own);

	if (!ret) {
		patched = c->own;
		patched.bytes = arena_memdup(a, c->own.bytes, c->own.len);
		ret = vdso_add_clock(&patched, &c->offset, &c->at);
	}
	if (ret) {
		c->why = arena_strdup(a, err_last()->text);
		log_warning("run.thole.time: %s: clocks are read by system calls", c->why);
		return;
	}
	c->patched = patched.bytes;
	compare(c);
	find_calls(c);
}

struct clock *clock_new(struct arena *a, struct super_state *s)
{
	struct clock *c = arena_alloc(a, sizeof(*c));

	c->plan = s->config->plan.wall;
	prepare(a, c);
	if (!c->plan.begins)
		set_offset(c, c->plan.sec, c->plan.nsec);
	return c;
}

/* What is never for the guest stays so. */
static int64_t sum(int64_t a, int64_t b)
{
	int64_t s;

	if (!__builtin_add_overflow(a, b, &s))
		return s;
	return b > 0 ? INT64_MAX : INT64_MIN;
}

void clock_show(const struct clock *c, int64_t *sec, int64_t *nsec)
{
	*nsec = sum(*nsec, c->offset.nsec);
	*sec = sum(sum(*sec, floor_div(nsec, NS)), c->offset.sec);
}

void clock_hide(const struct clock *c, int64_t *sec, int64_t *nsec)
{
	*nsec = sum(*nsec, -c->offset.nsec);
	*sec = sum(sum(*sec, floor_div(nsec, NS)), -c->offset.sec);
}

/* ---- a new program */

/* Another image than this process's own: one that a kernel has beside it. */
static int patch_other(const struct clock *c, struct peek *mem, uint64_t base, uint8_t *bytes)
{
	struct arch_offset there;
	struct vdso v;
	size_t at;
	int ret = vdso_parse(bytes, c->own.len, &v);

	/* it was patched by one whose execve failed, or it is a copy of one */
	if (!ret && vdso_clock(&v, &there) == 0)
		return 0;
	if (!ret)
		ret = vdso_add_clock(&v, &c->offset, &at);
	return ret ? ret : peek_patch(mem, base, bytes, c->own.len);
}

static int patch(const struct clock *c, struct peek *mem, uint64_t base)
{
	uint8_t bytes[IMAGE_MAX];
	int ret;

	if (!c->patched || c->own.len > sizeof(bytes))
		return fail(ENOTSUP, "%s", c->why ? c->why : "the vDSO is too long");
	ret = peek_read(mem, base, bytes, c->own.len);
	if (ret)
		return ret;
	if (memcmp(bytes, c->own.bytes, c->own.len) != 0)
		return patch_other(c, mem, base, bytes);
	ret = peek_patch(mem, base + c->from, c->patched + c->from, c->len);
	if (!ret)
		ret = peek_read(mem, base, bytes, c->own.len);
	if (!ret && memcmp(bytes, c->patched, c->own.len) != 0)
		ret = fail(EPERM, "the vDSO is as it was");
	return ret;
}

/* What the words on a new program's stack are, one after the other (System V ABI). */
enum word { COUNT, ARGUMENTS, ENVIRONMENT, TYPE, VALUE };

static enum word next_word(enum word is, uint64_t value)
{
	switch (is) {
	case COUNT:
		return ARGUMENTS;
	case ARGUMENTS:
		return value ? ARGUMENTS : ENVIRONMENT;
	case ENVIRONMENT:
		return value ? ENVIRONMENT : TYPE;
	case TYPE:
		return VALUE;
	case VALUE:
		break;
	}
	return TYPE;
}

static int find_entry(struct peek *mem, uint64_t at, uint64_t type, uint64_t *out)
{
	uint64_t words[WORDS];
	enum word is = COUNT;
	ssize_t n = sizeof(words);

	for (size_t seen = 0; seen < STACK_WORDS_MAX && n == sizeof(words); seen += WORDS) {
		n = peek_some(mem, at, words, sizeof(words));
		for (ssize_t i = 0; i < n / (ssize_t)sizeof(words[0]);
		     i++, at += sizeof(words[0])) {
			if (is == TYPE && words[i] == type) {
				*out = at;
				return 0;
			}
			if (is == TYPE && words[i] == AT_NULL)
				return -ENOENT;
			is = next_word(is, words[i]);
		}
	}
	return -ENOENT;
}

/* Its libc finds no vDSO then, and asks the kernel. */
static int take_away(struct peek *mem, pid_t pid)
{
	const uint64_t nothing = AT_IGNORE;
	struct regs r;
	uint64_t at;
	int ret = regs_get(pid, &r);

	if (!ret && find_entry(mem, regs_sp(&r), AT_SYSINFO_EHDR, &at))
		ret = fail(ENOENT, "it is not in the auxiliary vector");
	return ret ? ret : peek_write(mem, at, &nothing, sizeof(nothing));
}

void clock_program(const struct clock *c, pid_t pid)
{
	struct peek mem;
	uint64_t base;

	/* of 32 bits, or a kernel without one: there is nothing to be patched */
	if (proc_auxv(pid, AT_SYSINFO_EHDR, &base))
		return;
	peek_of_tracee(pid, &mem);
	if (patch(c, &mem, base)) {
		log_debug("the vDSO of process %d can't have an offset: %s", pid, err_last()->text);
		if (take_away(&mem, pid))
			log_warning("process %d reads the real time of day: its vDSO can't be "
				    "taken away: %s",
				    pid, err_last()->text);
	}
	peek_close(&mem);
}
