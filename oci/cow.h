/* SPDX-License-Identifier: Apache-2.0 */
/* What the store keeps for the layers of a container: the upper directories, and what they are. */
#ifndef OCI_COW_H
#define OCI_COW_H

#include <stdbool.h>

struct arena;
struct cmd;
struct container;
struct layers_found;
struct sandbox;
struct state;
struct state_dir;

/*
 * Makes the upper directories of a container just claimed, <id>/cow/<n>/ or what was given in
 * run.thole.cow, and notes them in sb. Returns 0 or -errno with a text; what was made in the store
 * goes with it.
 */
int cow_prepare(struct arena *a, const struct state_dir *d, struct sandbox *sb);

/*
 * Whether nobody writes to its upper directories any more, of a container whose first process has
 * ended: without a pid namespace others may outlive it, and the supervisor lives a moment longer
 * than the last of them, for which this waits (10 s).
 */
bool cow_has_ended(const struct state_dir *d);

/* The container came to nothing: what was made for it in a directory that was given goes again. */
void cow_undo(const struct sandbox *sb);

/* What became of them, for the state. */
void cow_note(struct arena *a, const struct sandbox *sb, const struct layers_found *found,
	      struct state *out);

/* The same for a process more: what is in the state goes into its description. */
void cow_recall(const struct state *s, struct sandbox *sb);

/*
 * An ordinary user whose container has ids of others in it becomes its root, with the rights over
 * such files: in a user namespace of the same maps, for good. Paths of his own may be out of reach
 * from then on. Nothing for root, and for containers without a user namespace of their own.
 */
int cow_take_rights(struct cmd *c, const struct container *ct);

/* Removes the upper directories that are in the store. */
int cow_remove(struct cmd *c, const struct container *ct);

#endif
