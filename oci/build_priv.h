/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of build share. */
#ifndef OCI_BUILD_PRIV_H
#define OCI_BUILD_PRIV_H

#include "oci/build.h"
#include "oci/spec.h"

/* build_mounts.c: rootfs->mounts and rootfs->devices */
int build_mounts(struct arena *a, const struct spec *s, const struct build_context *c,
		 struct rootfs_plan *out);
void build_devices(struct arena *a, const struct spec *s, struct rootfs_plan *out);

/* build_seccomp.c: seccomp, its flags and listener */
int build_seccomp(struct arena *a, const struct spec *s, struct sandbox *out);

/* build_annotation.c: settings in annotations, and refusal of those that can't be followed */
int build_annotations(struct arena *a, const struct spec *s, struct sandbox *out);

/*
 * build_time.c: times of the annotations run.thole.time.*. An offset is a number of seconds, or
 * numbers with units one after the other, with a sign before them: "-90", "+1.5", "-2d12h", "30ms".
 * A start is a time of RFC 3339. NULL, or what the text must be.
 */
struct super_time;
const char *build_time_offset(const char *text, struct super_time *out);
const char *build_time_start(const char *text, struct super_time *out);

/* build_layers.c: the directories that are shown by layers; after build_annotations() */
#define BUILD_COW "run.thole.cow"
#define BUILD_COW_BACKEND "run.thole.cow.backend"
#define BUILD_MAP "run.thole.map"
int build_layers(struct arena *a, const struct spec *s, struct sandbox *out);

/* build_mounts.c: the option that gives a new file system linux.mountLabel */
int build_label(struct arena *a, const struct spec *s, const char **out);

/* NULL for an absent or empty text. */
static inline const char *build_text(const char *text)
{
	return text && *text ? text : NULL;
}

#endif
