/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON files of an image. Their tables are put together from those of the kinds: an object for
 * each process with a section a kind, and one for each open file with a section of its kind.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "ckpt/engine.h"

#define PID_MAX 4194304u
#define FD_MAX (1u << 30)
#define FILE_KINDS_MAX 64
#define FIXED_MAX 10

/* Fixed members first, then a pointer a kind. */
struct sections {
	struct record_field rows[FIXED_MAX + CKPT_KINDS_MAX + FILE_KINDS_MAX];
	struct record_table table;
};

struct thread_record {
	uint32_t tid;
	void *sections[CKPT_KINDS_MAX];
};

struct proc_record {
	uint32_t pid, parent, session, group;
	bool zombie, stopped;
	uint32_t exit_status;
	int32_t end_signal;
	struct thread_record *threads;
	size_t n_threads;
	void *sections[CKPT_KINDS_MAX];
};

struct file_record {
	uint32_t id;
	const char *kind;
	uint32_t flags;
	uint64_t pos;
	void *records[FILE_KINDS_MAX];
};

struct container_record {
	struct file_record *files;
	size_t n_files;
	void *sections[CKPT_KINDS_MAX];
};

struct fds_record {
	struct ckpt_fd *fds;
	size_t n_fds;
};

static const struct record_field fd_rows[] = {
	RECORD(U, struct ckpt_fd, "fd", fd, RECORD_MAX(FD_MAX)),
	RECORD(U, struct ckpt_fd, "file", file),
	RECORD(BOOL, struct ckpt_fd, "cloexec", cloexec, RECORD_OPTIONAL),
};
static const struct record_table fd_table = RECORD_TABLE(struct ckpt_fd, fd_rows);
static const struct record_field fds_rows[] = {
	RECORD_LIST_OF(struct fds_record, "fds", fds, n_fds, fd_table),
};
static const struct record_table fds_table = RECORD_TABLE(struct fds_record, fds_rows);

static void begin(struct sections *s, const struct record_field *fixed, size_t n, size_t size)
{
	*s = (struct sections){ .table = { .fields = s->rows, .n = n, .size = size } };
	memcpy(s->rows, fixed, n * sizeof(*fixed));
}

static void add_pointer(struct sections *s, const char *name, const struct record_table *t,
			size_t at, bool optional)
{
	s->rows[s->table.n++] = (struct record_field){
		.name = name,
		.type = RECORD_POINTER,
		.optional = optional,
		.at = at,
		.table = t,
	};
}

static void add_kinds(struct sections *s, enum kind_scope scope, size_t at, bool optional)
{
	const struct ckpt_kind *kind;

	for (size_t k = 0; ckpt_kinds[k]; k++) {
		kind = ckpt_kinds[k];
		if (kind->scope == scope && kind->table)
			add_pointer(s, kind->name, kind->table, at + k * sizeof(void *), optional);
	}
}

static void thread_sections(struct sections *s)
{
	static const struct record_field fixed[] = {
		RECORD(U, struct thread_record, "tid", tid, RECORD_MAX(PID_MAX)),
	};

	begin(s, fixed, NAME_COUNT(fixed), sizeof(struct thread_record));
	add_kinds(s, KIND_THREAD, offsetof(struct thread_record, sections), false);
}

/* Of a zombie nothing is left but the first of these. */
static void proc_sections(struct sections *s, const struct record_table *threads)
{
	const struct record_field fixed[] = {
		RECORD(U, struct proc_record, "pid", pid, RECORD_MAX(PID_MAX)),
		RECORD(U, struct proc_record, "parent", parent, RECORD_MAX(PID_MAX)),
		RECORD(U, struct proc_record, "session", session, RECORD_MAX(PID_MAX)),
		RECORD(U, struct proc_record, "group", group, RECORD_MAX(PID_MAX)),
		RECORD(BOOL, struct proc_record, "zombie", zombie, RECORD_OPTIONAL),
		RECORD(BOOL, struct proc_record, "stopped", stopped, RECORD_OPTIONAL),
		RECORD(U, struct proc_record, "exitStatus", exit_status, RECORD_OPTIONAL),
		RECORD(I, struct proc_record, "endSignal", end_signal, RECORD_OPTIONAL),
		{ .name = "threads",
		  .type = RECORD_LIST,
		  .optional = true,
		  .at = offsetof(struct proc_record, threads),
		  .count = offsetof(struct proc_record, n_threads),
		  .table = threads },
	};

	begin(s, fixed, NAME_COUNT(fixed), sizeof(struct proc_record));
	add_kinds(s, KIND_PROCESS, offsetof(struct proc_record, sections), true);
}

static void file_sections(struct sections *s)
{
	static const struct record_field fixed[] = {
		RECORD(U, struct file_record, "id", id),
		RECORD(TEXT, struct file_record, "kind", kind, RECORD_MAX(64)),
		RECORD(HEX, struct file_record, "flags", flags),
		RECORD(U, struct file_record, "position", pos, RECORD_OPTIONAL,
		       RECORD_MAX(INT64_MAX)),
	};

	begin(s, fixed, NAME_COUNT(fixed), sizeof(struct file_record));
	for (size_t k = 0; file_kinds[k]; k++)
		if (file_kinds[k]->table)
			add_pointer(s, file_kinds[k]->name, file_kinds[k]->table,
				    offsetof(struct file_record, records) + k * sizeof(void *),
				    true);
}

static void container_sections(struct sections *s, const struct record_table *files)
{
	const struct record_field fixed[] = {
		{ .name = "files",
		  .type = RECORD_LIST,
		  .at = offsetof(struct container_record, files),
		  .count = offsetof(struct container_record, n_files),
		  .table = files },
	};

	begin(s, fixed, NAME_COUNT(fixed), sizeof(struct container_record));
	add_kinds(s, KIND_CONTAINER, offsetof(struct container_record, sections), false);
}

static void alloc_for(struct ckpt *c, enum kind_scope scope, void **sections)
{
	for (size_t k = 0; ckpt_kinds[k]; k++)
		if (ckpt_kinds[k]->scope == scope && ckpt_kinds[k]->table)
			sections[k] = arena_alloc(c->arena, ckpt_kinds[k]->table->size);
}

int sections_alloc(struct ckpt *c)
{
	alloc_for(c, KIND_CONTAINER, c->sections);
	for (size_t i = 0; i < c->n_procs; i++) {
		struct ckpt_proc *p = c->procs[i];

		if (!p->zombie)
			alloc_for(c, KIND_PROCESS, p->sections);
		for (size_t t = 0; t < p->n_threads; t++)
			alloc_for(c, KIND_THREAD, p->threads[t]->sections);
	}
	return 0;
}

static int write_proc(struct ckpt *c, const struct ckpt_proc *p, const struct record_table *t)
{
	struct proc_record r = {
		.pid = (uint32_t)p->pid,
		.parent = p->parent ? (uint32_t)p->parent->pid : 0,
		.session = (uint32_t)p->session,
		.group = (uint32_t)p->group,
		.zombie = p->zombie,
		.stopped = p->stopped,
		.exit_status = p->exit_status,
		.end_signal = p->end_signal,
		.n_threads = p->n_threads,
	};
	struct fds_record fds = { .fds = p->fds, .n_fds = p->n_fds };
	int ret;

	r.threads = arena_array(c->arena, p->n_threads ? p->n_threads : 1, sizeof(*r.threads));
	for (size_t i = 0; i < p->n_threads; i++) {
		r.threads[i].tid = (uint32_t)p->threads[i]->tid;
		memcpy(r.threads[i].sections, p->threads[i]->sections,
		       sizeof(r.threads[i].sections));
	}
	memcpy(r.sections, p->sections, sizeof(r.sections));
	ret = image_put_record(c->writer, ckpt_file_name(c, p, "info.json"), t, &r);
	if (ret || p->zombie)
		return ret;
	return image_put_record(c->writer, ckpt_file_name(c, p, "fds.json"), &fds_table, &fds);
}

static size_t file_kind_index(const struct file_kind *kind)
{
	size_t k = 0;

	while (file_kinds[k] != kind)
		k++;
	return k;
}

int sections_write(struct ckpt *c)
{
	struct container_record r = { .n_files = c->n_files };
	struct sections threads, procs, files, container;
	int ret;

	thread_sections(&threads);
	proc_sections(&procs, &threads.table);
	file_sections(&files);
	container_sections(&container, &files.table);
	r.files = arena_array(c->arena, c->n_files ? c->n_files : 1, sizeof(*r.files));
	for (size_t i = 0; i < c->n_files; i++) {
		const struct ckpt_file *f = c->files[i];

		r.files[i] = (struct file_record){
			.id = f->id, .kind = f->kind->name, .flags = f->flags, .pos = f->pos
		};
		r.files[i].records[file_kind_index(f->kind)] = f->record;
	}
	memcpy(r.sections, c->sections, sizeof(r.sections));
	ret = image_put_record(c->writer, IMAGE_CONTAINER, &container.table, &r);
	for (size_t i = 0; i < c->n_procs && !ret; i++)
		ret = write_proc(c, c->procs[i], &procs.table);
	return ret;
}

/* ---- reading */

static int refuse(const struct ckpt_proc *p, const char *what)
{
	return fail(EBADMSG, "the image: process %d: %s", p->pid, what);
}

static int read_threads(struct ckpt *c, struct ckpt_proc *p, const struct proc_record *r)
{
	struct ckpt_thread *t;

	if (!r->n_threads || r->threads[0].tid != r->pid)
		return refuse(p, "threads[0].tid is not the process's own");
	for (size_t i = 0; i < r->n_threads; i++) {
		if (!r->threads[i].tid || (i && ckpt_find_pid(c, (pid_t)r->threads[i].tid)))
			return refuse(p, "a thread has the number of a process, or none");
		t = ckpt_add_thread(c, p);
		t->tid = (pid_t)r->threads[i].tid;
		memcpy(t->sections, r->threads[i].sections, sizeof(t->sections));
	}
	return 0;
}

static int read_fds(struct ckpt *c, struct ckpt_proc *p)
{
	struct fds_record r = { 0 };
	int ret = image_get_record(c->image, ckpt_file_name(c, p, "fds.json"), &fds_table, &r);

	for (size_t i = 0; !ret && i < r.n_fds; i++) {
		if (r.fds[i].file >= c->n_files)
			return refuse(p, "a descriptor is of a file that container.json has not");
		if (i && r.fds[i - 1].fd >= r.fds[i].fd)
			return refuse(p, "descriptors are out of order");
	}
	p->fds = r.fds;
	p->n_fds = r.n_fds;
	return ret;
}

static int check_sections(const struct ckpt_proc *p)
{
	for (size_t k = 0; ckpt_kinds[k]; k++)
		if (ckpt_kinds[k]->scope == KIND_PROCESS && ckpt_kinds[k]->table && !p->sections[k])
			return fail(EBADMSG, "the image: process.%d.info.json: %s: is missing",
				    p->pid, ckpt_kinds[k]->name);
	return 0;
}

/* As wait(2) tells it: an exit code, or a signal that ends a process. */
static bool ended_ok(const struct ckpt_proc *p)
{
	static const int harmless[] = { SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU,
					SIGCONT, SIGCHLD, SIGURG,  SIGWINCH };
	int signal = (int)(p->exit_status & 0x7f);

	if (!signal)
		return !(p->exit_status & ~0xff00u);
	for (size_t i = 0; i < NAME_COUNT(harmless); i++)
		if (signal == harmless[i])
			return false;
	return !(p->exit_status & ~0xffu) && signal <= SIGRTMAX;
}

/* Its parent was told already of the end of a zombie, and is there. */
static bool tells_ok(const struct ckpt_proc *p)
{
	return p->end_signal >= -1 && p->end_signal <= SIGRTMAX &&
	       !(p->zombie && (p->end_signal == SIGKILL || p->end_signal == SIGSTOP));
}

static int read_proc(struct ckpt *c, pid_t pid, const struct record_table *t)
{
	struct ckpt_proc *p = ckpt_add_proc(c);
	struct proc_record r = { 0 };
	int ret;

	p->pid = pid;
	ret = image_get_record(c->image, ckpt_file_name(c, p, "info.json"), t, &r);
	if (ret)
		return ret;
	p->zombie = r.zombie;
	p->stopped = r.stopped;
	p->parent = p->maker = r.parent ? ckpt_find_pid(c, (pid_t)r.parent) : NULL;
	p->session = (pid_t)r.session;
	p->group = (pid_t)r.group;
	p->exit_status = r.exit_status;
	p->end_signal = r.end_signal;
	memcpy(p->sections, r.sections, sizeof(p->sections));
	if ((pid_t)r.pid != pid || pid <= 0)
		return refuse(p, "its info.json is of another process");
	if (c->n_procs == 1 ? pid != 1 || r.parent || p->zombie : !p->parent || p->parent == p)
		return refuse(p, "its parent is not known");
	if (p->parent && p->parent->zombie)
		return refuse(p, "its parent has ended");
	if (!tells_ok(p))
		return refuse(p, "endSignal is none that tells a parent of an end");
	if (p->zombie)
		return ended_ok(p) ? 0 : refuse(p, "exitStatus is none that a process ends with");
	ret = check_sections(p);
	if (!ret)
		ret = read_threads(c, p, &r);
	return ret ? ret : read_fds(c, p);
}

static int read_files(struct ckpt *c, const struct container_record *r)
{
	struct ckpt_file *f;
	size_t k;

	for (size_t i = 0; i < r->n_files; i++) {
		const struct file_record *from = &r->files[i];

		for (k = 0; file_kinds[k] && strcmp(file_kinds[k]->name, from->kind) != 0; k++)
			;
		if (!file_kinds[k])
			return fail(EBADMSG,
				    "the image: %s: files[%zu].kind: \"%s\" is not known to this "
				    "version",
				    IMAGE_CONTAINER, i, from->kind);
		if (from->id != i || (file_kinds[k]->table && !from->records[k]))
			return fail(EBADMSG, "the image: %s: files[%zu].%s is missing",
				    IMAGE_CONTAINER, i, from->id != i ? "id" : file_kinds[k]->name);
		f = ckpt_add_file(c);
		f->kind = file_kinds[k];
		f->flags = from->flags;
		f->pos = from->pos;
		f->record = from->records[k];
	}
	return 0;
}

int sections_read(struct ckpt *c)
{
	const struct image_meta *meta = image_meta(c->image);
	struct sections threads, procs, files, container;
	struct container_record r = { 0 };
	int ret;

	thread_sections(&threads);
	proc_sections(&procs, &threads.table);
	file_sections(&files);
	container_sections(&container, &files.table);
	ret = image_get_record(c->image, IMAGE_CONTAINER, &container.table, &r);
	if (!ret)
		ret = read_files(c, &r);
	if (ret)
		return ret;
	memcpy(c->sections, r.sections, sizeof(c->sections));
	if (!meta->n_pids)
		return fail(EBADMSG, "the image: %s: pids: there is no process", IMAGE_META);
	for (size_t i = 0; i < meta->n_pids && !ret; i++) {
		if (meta->pids[i] > PID_MAX || ckpt_find_pid(c, (pid_t)meta->pids[i]))
			return fail(EBADMSG,
				    "the image: %s: pids[%zu] is out of range or there twice",
				    IMAGE_META, i);
		ret = read_proc(c, (pid_t)meta->pids[i], &procs.table);
	}
	return ret;
}
