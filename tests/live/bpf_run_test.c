/* SPDX-License-Identifier: Apache-2.0 */
/* The BPF machine against the kernel's: what it takes, and what programs answer. */
#include "bpf/run.h"

#include "lib/bpf_ref.h"
#include "lib/tap.h"

#include <errno.h>
#include <linux/bpf_common.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ANSWER 0x7f /* an exit status tells seven bits and whether there was an answer */

static int install(const struct sock_filter *code, size_t len)
{
	struct sock_fprog prog = { .len = (unsigned short)len,
				   .filter = (struct sock_filter *)code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0 ? -errno : 0;
}

/* Exit status of a child that does it. */
static int in_child(int (*act)(const void *), const void *arg)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(act(arg));
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

struct row {
	const char *what;
	struct sock_filter code[6];
	size_t len;
	const char *complaint; /* NULL: the kernel takes it */
};

#define RET_ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define LOAD_NR BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0)

static const struct row rows[] = {
	{ "a return", { RET_ALLOW }, 1, NULL },
	{ "nothing", { RET_ALLOW }, 0, "a length that is not 1 to 4096" },
	{ "no return", { LOAD_NR }, 1, "no return at the end" },
	{ "the last word", { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 60), RET_ALLOW }, 2, NULL },
	{ "past the last word",
	  { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), RET_ALLOW },
	  2,
	  "a load outside struct seccomp_data" },
	{ "between words",
	  { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), RET_ALLOW },
	  2,
	  "a load outside struct seccomp_data" },
	{ "a byte",
	  { BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), RET_ALLOW },
	  2,
	  "an instruction that seccomp does not take" },
	{ "a load at x",
	  { BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0), RET_ALLOW },
	  2,
	  "an instruction that seccomp does not take" },
	{ "a remainder",
	  { BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 3), RET_ALLOW },
	  2,
	  "an instruction that seccomp does not take" },
	{ "division by zero",
	  { BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), RET_ALLOW },
	  2,
	  "a division by zero" },
	{ "division by x",
	  { BPF_STMT(BPF_LDX | BPF_IMM, 1), BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0), RET_ALLOW },
	  3,
	  NULL },
	{ "a long shift",
	  { BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32), RET_ALLOW },
	  2,
	  "a shift by more than 31" },
	{ "a jump to the end", { BPF_STMT(BPF_JMP | BPF_JA, 0), RET_ALLOW }, 2, NULL },
	{ "a jump past the end",
	  { BPF_STMT(BPF_JMP | BPF_JA, 1), RET_ALLOW },
	  2,
	  "a jump past the end" },
	{ "a test past the end",
	  { BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1), RET_ALLOW },
	  2,
	  "a jump past the end" },
	{ "word 16", { BPF_STMT(BPF_ST, 16), RET_ALLOW }, 2, "a memory word that is not there" },
	{ "memory unwritten",
	  { BPF_STMT(BPF_LD | BPF_MEM, 3), RET_ALLOW },
	  2,
	  "memory is read that was not written" },
	{ "memory written",
	  { BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_LDX | BPF_MEM, 3), RET_ALLOW },
	  3,
	  NULL },
	{ "memory written on one way only",
	  { BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1), BPF_STMT(BPF_ST, 3),
	    BPF_STMT(BPF_LD | BPF_MEM, 3), RET_ALLOW },
	  4,
	  "memory is read that was not written" },
	{ "memory written on both",
	  { BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0), BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
	    BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_STX, 3), BPF_STMT(BPF_LD | BPF_MEM, 3), RET_ALLOW },
	  6,
	  NULL },
};

static int take(const void *arg)
{
	const struct row *row = arg;

	return install(row->code, row->len) == 0;
}

static void takes_what_the_kernel_takes(void)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *got = run_check(rows[i].code, rows[i].len);

		if (rows[i].complaint)
			is_str(got, rows[i].complaint, "%s", rows[i].what);
		else
			ok(!got, "%s: %s", rows[i].what, got);
		is_int(in_child(take, &rows[i]), !rows[i].complaint, "%s: the kernel",
		       rows[i].what);
	}
}

#define BODY 24

/* Arithmetic on the arguments of getppid(), answered as an error number; anything else passes. */
struct sum {
	struct sock_filter code[BODY + 16];
	size_t len;
	uint64_t args[6];
};

static void make_sum(uint64_t *seed, struct sum *s)
{
	static const uint16_t ops[] = { BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_AND,
					BPF_OR,  BPF_XOR, BPF_LSH, BPF_RSH, BPF_NEG };
	size_t n = 0;

	for (int i = 0; i < 6; i++)
		s->args[i] = ref_random(seed);
	s->code[n++] = (struct sock_filter)LOAD_NR;
	s->code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 1, 0);
	s->code[n++] = (struct sock_filter)RET_ALLOW;
	s->code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 16);
	s->code[n++] = (struct sock_filter)BPF_STMT(BPF_ST, 5);
	for (int i = 0; i < BODY; i++) {
		uint64_t r = ref_random(seed);
		uint16_t op = ops[r % COUNT(ops)], src = r >> 8 & 1 ? BPF_X : BPF_K;
		uint32_t k = (uint32_t)(r >> 32);

		switch (r >> 16 & 7) {
		case 0:
			s->code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
								    16 + (k % 12) * 4);
			break;
		case 1:
			s->code[n++] = (struct sock_filter)BPF_STMT(BPF_MISC | BPF_TAX, 0);
			break;
		case 2:
			s->code[n++] = (struct sock_filter)BPF_STMT(
				k & 1 ? BPF_LD | BPF_MEM : BPF_LDX | BPF_MEM, 5);
			break;
		case 3:
			s->code[n++] = (struct sock_filter)BPF_STMT(k & 1 ? BPF_ST : BPF_STX, 5);
			break;
		case 4:
			s->code[n++] = (struct sock_filter)BPF_JUMP(
				BPF_JMP | (k & 1 ? BPF_JGT : BPF_JSET) | src, k, k >> 1 & 1,
				k >> 2 & 1);
			break;
		default:
			if (op == BPF_LSH || op == BPF_RSH)
				k %= 32;
			if (op == BPF_NEG)
				src = BPF_K;
			s->code[n++] =
				(struct sock_filter)BPF_STMT(BPF_ALU | op | src, k | (k == 0));
		}
	}
	/* a jump before it may go over this one */
	s->code[n++] = (struct sock_filter)BPF_STMT(BPF_MISC | BPF_TXA, 0);
	s->code[n++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, ANSWER - 1);
	s->code[n++] =
		(struct sock_filter)BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO | 1);
	s->code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_A, 0);
	s->len = n;
}

static int ask(const void *arg)
{
	const struct sum *s = arg;
	const uint64_t *v = s->args;

	if (install(s->code, s->len))
		return 0xff;
	return syscall(SYS_getppid, v[0], v[1], v[2], v[3], v[4], v[5]) < 0 ? errno : 0xfe;
}

static void answers_what_the_kernel_answers(void)
{
	uint64_t seed = 1;

	for (int i = 0; i < 200; i++) {
		struct seccomp_data data = { .nr = SYS_getppid };
		uint16_t path[COUNT(((struct sum *)0)->code)];
		struct sum s;
		struct run run;
		int got;

		make_sum(&seed, &s);
		memcpy(data.args, s.args, sizeof(s.args));
		if (!ok(!run_check(s.code, s.len), "run %d is a program", i))
			continue;
		run = run_program(s.code, s.len, &data, path);
		got = in_child(ask, &s);
		/* a division by zero ends it with 0, which kills the thread */
		is_int(got, run.verdict ? (int)(run.verdict & SECCOMP_RET_DATA) : -1, "run %d", i);
		ok(run.read_argument, "it looked at an argument");
		ok(path[0] == 0 && run.executed <= s.len, "its way begins at 0");
		ok(run.verdict == 0 || path[run.executed - 1] == s.len - 1, "and ends at the end");
	}
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(takes_what_the_kernel_takes),
		TAP(answers_what_the_kernel_answers),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
