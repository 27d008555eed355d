/* SPDX-License-Identifier: Apache-2.0 */
/* An image as a tree, a folder a process, for tools that read the dump format so. */
#ifndef CKPT_IMAGE_TREE_H
#define CKPT_IMAGE_TREE_H

struct arena;
struct image;

/*
 * Makes the directory out, which must not be there yet:
 *
 *	<pid>/meta.json                   of the whole image
 *	<pid>/process/info.json, fds.json, memory_map.json
 *	<pid>/process/memory/<i>.bin      mapping i of memory_map.json, as long as it is, and a
 *	                                  hole where nothing was saved
 *	<pid>/process/threads/<n>.bin     thread n of info.json
 *	<pid>/app_state.bin               where the image has one
 *
 * On failure (-errno with a text) nothing of it is left.
 */
int image_tree(struct arena *a, struct image *im, const char *out);

#endif
