/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the runtime-spec forbids, found before anything is created. The binding has checked types
 * and words; these are the rules between fields. Messages are "FILE: place.in.json: why".
 */
#ifndef OCI_CHECK_H
#define OCI_CHECK_H

struct spec;
struct spec_process;
struct spec_resources;

/* All of a config. Returns 0 or -EINVAL with a text; what is only odd goes to the log. */
int check_spec(const struct spec *s);

/* The process of s, or another one that is to run in its container. */
int check_process(const struct spec *s, const struct spec_process *p);

/* doc is the file, at the place in it: "linux.resources." or "". */
int check_resources(const struct spec_resources *r, const char *doc, const char *at);

#endif
