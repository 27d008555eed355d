/* SPDX-License-Identifier: Apache-2.0 */
/*
 * execve(2). What the kernel would find by itself it runs by itself: a file outside of the map, or
 * an unchanged one of the lower side by its own name. Of everything else the thread is given a
 * descriptor and runs that. The kernel would then look for a script's interpreter in its own view,
 * and name the script by the descriptor: so scripts are resolved here, as fs/binfmt_script.c does,
 * and it is the interpreter that runs, with the arguments that the kernel would have given it. An
 * ELF interpreter of the upper side likewise. What a way through the map led out of it to is run by
 * its own name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/elf.h"
#include "base/fd.h"
#include "base/sys.h"
#include "super/clock.h"
#include "super/courier.h"
#include "super/cow_call.h"
#include "super/cow_name.h"
#include "super/guest.h"
#include "super/handler.h"

#define LINE_LEN 256  /* BINPRM_BUF_SIZE */
#define SCRIPTS_MAX 5 /* the last of which has no script for an interpreter */
#define HEAD_MAX (2 * SCRIPTS_MAX + 4)
#define ARGUMENTS_MAX (1u << 20)
#define PAGE 4096u

#ifndef AT_EXECVE_CHECK
#define AT_EXECVE_CHECK 0x10000
#endif

struct run {
	struct super_state *s;
	struct notif *n;
	int dirfd;
	uint64_t text_at, argv, envp;
	unsigned flags;
	struct path p;
	int file;                  /* what is run in the end: open for reading, the process's own */
	bool secret;               /* which the thread may not read */
	bool natively;             /* the kernel finds all of it by itself */
	bool interpreted_natively; /* or all but the first */
	/* What stands before the second of the guest's arguments, if there is a script. */
	const char *head[HEAD_MAX];
	size_t n_head;
	/* The kernel's name of what the way through the map led out of it to, and of what has to be
	 * run by that; or "". */
	char outside[PATH_MAX];
	char name[PATH_MAX + 32], lines[SCRIPTS_MAX + 1][LINE_LEN];
	char loader[PATH_MAX], first[PATH_MAX]; /* an ELF interpreter; the guest's first argument */
};

/* ---- scripts */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static const char *skip_blanks(const char *at, const char *end)
{
	while (at < end && is_blank(*at))
		at++;
	return at;
}

static const char *skip_word(const char *at, const char *end)
{
	while (at < end && *at && !is_blank(*at))
		at++;
	return at;
}

/*
 * The first line of a script: its interpreter, and what follows that as one argument, NULL if there
 * is none. The line has zeros behind the end of the file, and is cut into both. -ENOEXEC where
 * there is no interpreter, or its name has no end.
 */
static int parse_line(char line[LINE_LEN], char **out_name, char **out_argument)
{
	char *end = memchr(line, '\n', LINE_LEN), *last = line + LINE_LEN - 1;
	char *name = line + 2, *sep, *argument;

	if (!end) {
		name += skip_blanks(name, last) - name;
		if (name == last || skip_word(name, last) == last)
			return -ENOEXEC;
		end = last;
	}
	while (end > line + 2 && is_blank(end[-1]))
		end--;
	name = line + 2 + (skip_blanks(line + 2, end) - (line + 2));
	if (name == end || !*name)
		return -ENOEXEC;
	*end = '\0';
	sep = name + (skip_word(name, end) - name);
	argument = sep + (skip_blanks(sep, end) - sep);
	*out_argument = sep < end && *sep && *argument ? argument : NULL;
	*sep = '\0';
	*out_name = name;
	return 0;
}

static void put_before(struct run *r, const char *text)
{
	r->head[HEAD_MAX - ++r->n_head] = text;
}

/* What the script is called: by a path, or by the descriptor. */
static int name_script(struct run *r)
{
	const char *text = r->p.text;
	char info[512] = "", path[32];
	const char *flags;
	auto_fd fd = -1;

	if (text[0] == '/' || r->dirfd == AT_FDCWD) {
		strcpy(r->name, text);
		return 0;
	}
	snprintf(r->name, sizeof(r->name), "/dev/fd/%d%s%s", r->dirfd, text[0] ? "/" : "", text);
	snprintf(path, sizeof(path), "fdinfo/%d", r->dirfd);
	fd = notif_proc_open(r->n, path, O_RDONLY);
	if (fd < 0 || read(fd, info, sizeof(info) - 1) < 0)
		return -EBADF;
	flags = strstr(info, "flags:");
	/* the interpreter would not find it */
	return flags && strtoul(flags + strlen("flags:"), NULL, 8) & O_CLOEXEC ? -ENOENT : 0;
}

/* ---- files */

/* May the thread run it? As the thread. */
static int check_file(const struct path *p)
{
	if (S_ISLNK(p->found.st.st_mode))
		return -ELOOP;
	if (!S_ISREG(p->found.st.st_mode))
		return -EACCES;
	return faccessat(p->found.fd, "", X_OK, AT_EACCESS | AT_EMPTY_PATH) < 0 ? -errno : 0;
}

/* Is what the kernel would come to by the text the same file? */
static bool is_native(const struct path *p)
{
	char name[PATH_MAX];

	if (!p->in)
		return !p->led;
	return p->in->layer.mode == LAYER_COW && p->found.side == LAYER_LOWER &&
	       path_name(p->in, p->rel, name, sizeof(name)) >= 0 && strcmp(name, p->text) == 0;
}

/* The begin of the file, which is open from here on; true if it is a script. */
static int look_into(struct run *r, const struct path *p, char line[LINE_LEN])
{
	bool acted;
	ssize_t len = -1;
	int ret;

	r->secret = sys_faccessat2(p->found.fd, "", R_OK, AT_EACCESS | AT_EMPTY_PATH) < 0;
	acted = guest_pause();
	fd_close(fd_take(&r->file));
	ret = cow_name_reopen(p->found.fd, O_RDONLY, p->in && p->found.side == LAYER_UPPER);
	if (ret >= 0)
		r->file = ret;
	if (guest_resume(acted))
		return -EPERM;
	if (ret < 0)
		return ret;
	memset(line, 0, LINE_LEN);
	len = pread(r->file, line, LINE_LEN, 0);
	if (len < 0)
		return -errno;
	return len > 2 && line[0] == '#' && line[1] == '!';
}

static bool gives_privilege(const struct path *p)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", p->found.fd);
	return p->found.st.st_mode & (S_ISUID | S_ISGID) ||
	       getxattr(path, "security.capability", NULL, 0) > 0;
}

/* The kernel gives what the file promises only where its mount is one of the thread's namespace:
 * what is unchanged is there as well. */
static void name_privileged(struct run *r, const struct path *p)
{
	char name[PATH_MAX];

	if (p->in && p->found.side == LAYER_LOWER && gives_privilege(p) &&
	    cow_shown_name(r->s->cow, r->n, p->in, p->rel, name) > 0 &&
	    cow_name_is_native(r->n, AT_FDCWD, name, &p->found.st))
		strcpy(r->outside, name);
}

static int take_file(struct run *r, const struct path *p, char line[LINE_LEN])
{
	int ret = check_file(p);

	r->natively = r->natively && is_native(p);
	if (p != &r->p)
		r->interpreted_natively = r->interpreted_natively && is_native(p);
	r->outside[0] = '\0';
	if (!ret && p->led)
		ret = path_outside(r->n, p, r->outside, sizeof(r->outside));
	else if (!ret)
		name_privileged(r, p);
	return ret ? ret : look_into(r, p, line);
}

/* The interpreter of a script, and that one's, to the first that is none itself. */
static int resolve(struct run *r)
{
	char *name, *argument;
	struct path p;
	int ret = 1;

	for (size_t i = 0; ret > 0; i++) {
		if (i == SCRIPTS_MAX)
			return -ELOOP;
		ret = parse_line(r->lines[i], &name, &argument);
		if (ret)
			return ret;
		if (argument)
			put_before(r, argument);
		put_before(r, name);
		ret = path_walk_text(&r->s->cow->map, r->n, AT_FDCWD, name, PATH_FOLLOW, 0, &p);
		if (!ret)
			ret = take_file(r, &p, r->lines[i + 1]);
		else if (p.in)
			r->natively = false;
		path_close(&p);
	}
	return ret;
}

/* What is to be run by its interpreter, with the arguments that it was to have. */
static int put_program(struct run *r)
{
	uint64_t first = 0;
	int ret = name_script(r);

	if (ret)
		return ret;
	/* one without a directory would be looked for among libraries */
	if (!strchr(r->name, '/')) {
		memmove(r->name + 2, r->name, strlen(r->name) + 1);
		memcpy(r->name, "./", 2);
	}
	put_before(r, r->name);
	if (!r->argv || notif_read(r->n, r->argv, &first, sizeof(first)) || !first ||
	    notif_read_text(r->n, first, r->first, sizeof(r->first)) ||
	    strcmp(r->first, r->name) == 0)
		return 0;
	put_before(r, r->first);
	put_before(r, "--argv0");
	return 0;
}

/*
 * The interpreter of an ELF file the kernel looks for by itself, and so not on the upper side. One
 * that is there is run in the program's place, as those of glibc and musl can be: it is what
 * /proc/PID/exe shows then.
 */
static int load(struct run *r)
{
	char none[LINE_LEN];
	struct path p;
	int ret;

	if (r->flags & AT_EXECVE_CHECK || !elf_interpreter(r->file, r->loader))
		return 0;
	ret = path_walk_text(&r->s->cow->map, r->n, AT_FDCWD, r->loader, PATH_FOLLOW, 0, &p);
	/* what is wrong with any other the kernel will say */
	if (ret || !p.in || p.found.side != LAYER_UPPER) {
		path_close(&p);
		return 0;
	}
	if (!r->n_head)
		ret = put_program(r);
	put_before(r, r->loader);
	if (!ret)
		ret = take_file(r, &p, none);
	path_close(&p);
	return ret > 0 ? -ENOEXEC : ret;
}

static int find(struct run *r)
{
	int ret = take_file(r, &r->p, r->lines[0]);

	if (ret > 0 && r->flags & AT_EXECVE_CHECK)
		return 0;
	if (ret > 0) {
		ret = name_script(r);
		if (ret)
			return ret;
		put_before(r, r->name);
		ret = resolve(r);
	}
	return ret ? ret : load(r);
}

/* ---- arguments */

/* Pointers of the guest's, as many as stand on one page; at least one. */
static int read_pointers(const struct notif *n, uint64_t at, uint64_t *out, size_t *out_n)
{
	size_t room = (PAGE - at % PAGE) / sizeof(*out);

	*out_n = room ? room : 1;
	return notif_read(n, at, out, *out_n * sizeof(*out));
}

static int count_arguments(const struct run *r, size_t *out)
{
	uint64_t some[PAGE / sizeof(uint64_t)];
	size_t n = 0, part;
	int ret;

	*out = 0;
	if (!r->argv)
		return 0;
	while (n < ARGUMENTS_MAX) {
		ret = read_pointers(r->n, r->argv + n * sizeof(some[0]), some, &part);
		if (ret)
			return ret;
		for (size_t i = 0; i < part; i++, n++) {
			if (some[i])
				continue;
			*out = n;
			return 0;
		}
	}
	return -E2BIG;
}

/* The guest's from the second one on, and the NULL behind them. */
static int copy_pointers(const struct run *r, uint64_t to, size_t n)
{
	uint64_t some[PAGE / sizeof(uint64_t)], from = r->argv + sizeof(some[0]);
	size_t part;
	int ret = 0;

	for (size_t done = 0; !ret && done + 1 < n; done += part) {
		ret = read_pointers(r->n, from + done * sizeof(some[0]), some, &part);
		if (part > n - 1 - done)
			part = n - 1 - done;
		if (!ret)
			ret = notif_write(r->n, to + done * sizeof(some[0]), some,
					  part * sizeof(some[0]));
	}
	some[0] = 0;
	return ret ? ret
		   : notif_write(r->n, to + (n ? n - 1 : 0) * sizeof(some[0]), some,
				 sizeof(some[0]));
}

static size_t head_len(const struct run *r)
{
	size_t len = 0;

	for (size_t i = HEAD_MAX - r->n_head; i < HEAD_MAX; i++)
		len += strlen(r->head[i]) + 1;
	return len;
}

/* The pointers first, then the texts of the head. */
static int put_arguments(const struct run *r, const struct inject_room *room, size_t n)
{
	size_t pointers = r->n_head + (n ? n - 1 : 0) + 1, len;
	uint64_t at = room->at + pointers * sizeof(uint64_t), head[HEAD_MAX];
	int ret = 0;

	for (size_t i = 0; !ret && i < r->n_head; i++) {
		const char *text = r->head[HEAD_MAX - r->n_head + i];

		len = strlen(text) + 1;
		head[i] = at;
		ret = notif_write(r->n, at, text, len);
		at += len;
	}
	if (!ret)
		ret = notif_write(r->n, room->at, head, r->n_head * sizeof(head[0]));
	return ret ? ret : copy_pointers(r, room->at + r->n_head * sizeof(head[0]), n);
}

/* ---- the name */

#define STAGE "run"

static const char *base_of(const char *text)
{
	const char *slash = strrchr(text, '/');

	return slash ? slash + 1 : text;
}

/*
 * The kernel calls the process by the last name of the path, and one that is run by a descriptor by
 * that descriptor's number, or since 6.14 by the file's name, which is neither the link's nor the
 * script's. So it is run by a path that ends in the name, in a directory of the supervisor's: a
 * link to the thread's own descriptor, or to the name of what is outside of the map and was come to
 * through it. Where that leads nowhere (no /proc) it is run without.
 */
static int open_stage(const struct map *m)
{
	int work = -1, ret;

	for (size_t i = 0; i < m->n && work < 0; i++)
		work = m->v[i].layer.work;
	/* whoever the thread is */
	if (work < 0 ||
	    (mkdirat(work, STAGE, 0711) < 0 ? errno != EEXIST : fchmodat(work, STAGE, 0711, 0) < 0))
		return -ENOENT;
	ret = openat(work, STAGE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return ret < 0 ? -errno : ret;
}

/* The link in it. */
static int set_stage(const struct run *r, int stage, int file)
{
	const char *name = base_of(r->p.text), *target = r->outside;
	char by_fd[32];

	if (!*target) {
		snprintf(by_fd, sizeof(by_fd), "/proc/self/fd/%d", file);
		target = by_fd;
	}
	/* left by a supervisor that was killed */
	unlinkat(stage, name, 0);
	return symlinkat(target, stage, name) < 0 ? -errno : 0;
}

/* ---- the call */

struct target {
	int file, stage; /* descriptors of the thread's */
};

static int64_t execute(const struct run *r, struct inject *in, const struct target *t,
		       uint64_t argv)
{
	const char *text = r->p.text;
	uint64_t check = r->flags & AT_EXECVE_CHECK;
	const uint64_t by_name[6] = { (uint64_t)t->stage,
				      r->text_at + (uint64_t)(base_of(text) - text), argv, r->envp,
				      GUARD_PASSING(check) };
	/* an empty path is at the end of the guest's own */
	const uint64_t by_fd[6] = { (uint64_t)t->file, r->text_at + strlen(text), argv, r->envp,
				    GUARD_PASSING(AT_EMPTY_PATH | check) };
	int64_t result = -ENOENT;

	if (t->stage >= 0)
		result = inject_exec(in, SYS_execveat, by_name);
	return result == -ENOENT && t->file >= 0 ? inject_exec(in, SYS_execveat, by_fd) : result;
}

static int64_t execute_script(const struct run *r, struct inject *in, const struct target *t)
{
	struct inject_room room;
	int64_t result;
	size_t n;
	int ret = count_arguments(r, &n);

	if (!ret)
		ret = inject_room(in, (r->n_head + n + 1) * sizeof(uint64_t) + head_len(r), &room);
	if (ret)
		return ret;
	result = put_arguments(r, &room, n);
	if (!result)
		result = execute(r, in, t, room.at);
	if (!in->hold.gone)
		inject_room_end(in, &room);
	return result;
}

static void begin_program(const void *clock, pid_t pid)
{
	clock_program(clock, pid);
}

static int64_t run_with(const struct run *r, struct inject *in, int stage, struct target *t)
{
	if (t->file >= 0)
		t->file = (int)courier_have(in, t->file, r->secret);
	if (t->file < 0 && !r->outside[0])
		return t->file;
	if (t->stage >= 0 && set_stage(r, stage, t->file)) {
		inject_call(in, SYS_close, (uint64_t)t->stage);
		t->stage = -1;
	}
	return r->n_head ? execute_script(r, in, t) : execute(r, in, t, r->argv);
}

static int64_t run_in(const struct run *r, struct inject *in, int stage)
{
	const bool by_name = stage >= 0 && *base_of(r->p.text);
	/* what has a name needs no descriptor */
	const bool named = r->outside[0] && by_name;
	struct target t = { .file = named ? -ENOENT : courier_put(in, r->file, r->secret),
			    .stage = -1 };
	int64_t result;
	int ret;

	if (t.file < 0 && !named)
		return t.file;
	if (by_name)
		t.stage = inject_fd(in, stage);
	ret = inject_stop(in);
	if (ret)
		return ret;
	result = run_with(r, in, stage, &t);
	if (!in->hold.gone && t.stage >= 0)
		inject_call(in, SYS_close, (uint64_t)t.stage);
	if (!in->hold.gone && t.file >= 0)
		inject_call(in, SYS_close, (uint64_t)t.file);
	return result;
}

static int64_t run(struct run *r)
{
	auto_fd stage = open_stage(&r->s->cow->map);
	struct inject in;
	int64_t result;
	int ret = inject_begin(&r->s->strays, r->n, &in);

	if (ret)
		return ret;
	if (r->s->clock) {
		in.hold.begins = begin_program;
		in.hold.arg = r->s->clock;
	}
	result = run_in(r, &in, stage);
	inject_end(&in, result);
	if (stage >= 0 && *base_of(r->p.text))
		unlinkat(stage, base_of(r->p.text), 0);
	return result;
}

static int64_t walk_and_run(struct run *r)
{
	unsigned walk = (r->flags & AT_SYMLINK_NOFOLLOW ? 0 : PATH_FOLLOW) |
			(r->flags & AT_EMPTY_PATH ? PATH_EMPTY : 0);
	int ret = cow_become(r->s->cow, r->n);
	int64_t result;

	if (ret)
		return ret;
	ret = path_walk(&r->s->cow->map, r->n, r->dirfd, r->text_at, walk, 0, &r->p);
	r->natively = !r->p.in && !r->p.led;
	if (!ret) {
		r->natively = true;
		ret = find(r);
	}
	path_close(&r->p);
	guest_pause();
	if (r->natively)
		return COW_KERNEL;
	result = ret ? ret : run(r);
	/* who is traced may do what takes nobody's help */
	if (!ret && result == -EPERM && !r->n->answered && r->interpreted_natively &&
	    cow_name_is_native(r->n, r->dirfd, r->p.text, &r->p.found.st))
		return COW_KERNEL;
	return result;
}

void cow_on_exec(struct super_state *s, struct notif *n)
{
	bool at = n->nr == SYS_execveat;
	const uint64_t *args = n->args + at;
	struct run r;

	r.s = s;
	r.n = n;
	r.dirfd = at ? (int)n->args[0] : AT_FDCWD;
	r.text_at = args[0];
	r.argv = args[1];
	r.envp = args[2];
	r.flags = at ? (unsigned)args[3] : 0;
	r.file = -1;
	r.interpreted_natively = true;
	r.n_head = 0;
	if (r.flags & ~(unsigned)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_EXECVE_CHECK))
		return;
	cow_name_answer(n, walk_and_run(&r));
	fd_close(r.file);
}
