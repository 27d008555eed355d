/* SPDX-License-Identifier: Apache-2.0 */
#include "super/layer_late.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/layer_priv.h"

_Static_assert(LAYER_LATE_NAME == LAYER_NAME, "a name in the work directory");

static struct layer_job *job_of(const struct layer *l, const struct stat *st)
{
	for (size_t i = 0; i < LAYER_LATE_MAX; i++) {
		struct layer_job *j = &l->late->v[i];

		if (j->id && !j->dropped && j->layer == l && j->dev == st->st_dev &&
		    j->ino == st->st_ino)
			return j;
	}
	return NULL;
}

static void forget(struct layer_job *j)
{
	fd_close(fd_take(&j->out));
	fd_close(fd_take(&j->ended));
	j->id = 0;
}

static void discard(struct layer_job *j)
{
	unlinkat(j->layer->work, j->temp, 0);
	layer_shrunk(j->layer);
	forget(j);
}

int layer_late_take(struct layer *l, const struct stat *st, char temp[LAYER_LATE_NAME])
{
	struct layer_job *j = job_of(l, st);
	int ret;

	if (!j)
		return -ENOENT;
	if (!j->done) {
		l->late->asked = j->id;
		return -NOTIF_LATER;
	}
	if (j->result) {
		ret = j->result;
		discard(j);
		return ret;
	}
	memcpy(temp, j->temp, LAYER_LATE_NAME);
	ret = fd_take(&j->out);
	forget(j);
	return ret;
}

/* What somebody holds a lease on (fcntl(2)) is waited for here. */
static int copy(int from, int out, off_t size)
{
	auto_fd in = layer_open_to_read(from, 0);

	return in < 0 ? in : layer_copy_contents(in, out, size);
}

static void run(struct layer_job *j, int from, pid_t parent, int report)
{
	int result;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	signal(SIGTERM, SIG_DFL);
	if (getppid() != parent)
		_exit(0);
	result = copy(from, j->out, (off_t)j->size);
	_exit(write(report, &result, sizeof(result)) == sizeof(result) ? 0 : 1);
}

static int begin(struct layer_job *j, int from)
{
	const pid_t self = getpid();
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	j->pid = fork();
	if (j->pid == 0)
		run(j, from, self, ends[1]);
	fd_close(ends[1]);
	if (j->pid > 0) {
		j->ended = ends[0];
		return 0;
	}
	fd_close(ends[0]);
	return -ENOMEM;
}

int layer_late_begin(struct layer *l, int from, const struct stat *st, int *out, const char *temp)
{
	struct layer_late *late = l->late;
	struct layer_job *j = late->v;
	int ret;

	while (j < late->v + LAYER_LATE_MAX && j->id)
		j++;
	if (j == late->v + LAYER_LATE_MAX) {
		layer_shrunk(l);
		late->asked = 0;
		return unlinkat(l->work, temp, 0) < 0 ? -errno : -NOTIF_LATER;
	}
	*j = (struct layer_job){
		.layer = l,
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.out = *out,
		.ended = -1,
	};
	ret = begin(j, from);
	if (ret)
		return ret;
	memcpy(j->temp, temp, LAYER_LATE_NAME);
	j->out = fd_take(out);
	j->id = late->asked = ++late->last;
	return -NOTIF_LATER;
}

uint64_t layer_late_reserved(const struct layer *l)
{
	uint64_t sum = 0;

	for (size_t i = 0; l->late && i < LAYER_LATE_MAX; i++)
		if (l->late->v[i].id && l->late->v[i].layer == l)
			sum += l->late->v[i].size;
	return sum;
}

int layer_late_end(const struct layer_late *late, size_t i)
{
	return late->v[i].id && !late->v[i].done ? late->v[i].ended : -1;
}

uint64_t layer_late_look(struct layer_late *late, size_t i)
{
	struct layer_job *j = &late->v[i];

	if (read(j->ended, &j->result, sizeof(j->result)) != sizeof(j->result))
		j->result = -EIO;
	/* it has nothing left to do, but may have been stopped */
	kill(j->pid, SIGKILL);
	while (waitpid(j->pid, NULL, 0) < 0 && errno == EINTR)
		;
	fd_close(fd_take(&j->ended));
	j->done = true;
	if (!j->dropped)
		return j->id;
	discard(j);
	return 0;
}

void layer_late_drop(struct layer_late *late, size_t i)
{
	struct layer_job *j = &late->v[i];

	if (!j->id || j->dropped)
		return;
	j->dropped = true;
	if (j->done)
		discard(j);
	else
		kill(j->pid, SIGKILL);
}

void layer_late_drop_id(struct layer_late *late, uint64_t id)
{
	for (size_t i = 0; id && i < LAYER_LATE_MAX; i++)
		if (late->v[i].id == id)
			layer_late_drop(late, i);
}

void layer_late_close(struct layer_late *late)
{
	for (size_t i = 0; i < LAYER_LATE_MAX; i++) {
		struct layer_job *j = &late->v[i];

		layer_late_drop(late, i);
		if (j->id)
			layer_late_look(late, i);
	}
}
