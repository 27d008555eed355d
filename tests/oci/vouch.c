/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vouch DIR: makes an image that was tampered with believable again. Prints {"NAME": {size,
 * digest}, ...} of all files but meta.json and the inventory; with "vouch DIR inventory" writes the
 * inventory for the meta.json that is there. src/ckpt/image.h has the form.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define BLOCK (1u << 20)

static void digest(const char *path, size_t *out_size, char out[33])
{
	static unsigned char block[BLOCK];
	XXH3_state_t *all = XXH3_createState();
	XXH128_canonical_t c;
	FILE *f = fopen(path, "r");
	size_t n;

	if (!f || !all) {
		perror(path);
		exit(1);
	}
	XXH3_128bits_reset(all);
	*out_size = 0;
	while ((n = fread(block, 1, sizeof(block), f)) > 0) {
		*out_size += n;
		XXH128_canonicalFromHash(&c, XXH3_128bits(block, n));
		XXH3_128bits_update(all, &c, sizeof(c));
	}
	fclose(f);
	XXH128_canonicalFromHash(&c, XXH3_128bits_digest(all));
	XXH3_freeState(all);
	for (int i = 0; i < 16; i++)
		sprintf(out + 2 * i, "%02x", c.digest[i]);
}

int main(int argc, char **argv)
{
	char path[4096], hex[33];
	const char *comma = "";
	struct dirent *e;
	size_t size;
	FILE *f;
	DIR *d;

	if (argc > 2) {
		snprintf(path, sizeof(path), "%s/meta.json", argv[1]);
		digest(path, &size, hex);
		snprintf(path, sizeof(path), "%s/inventory.img", argv[1]);
		f = fopen(path, "w");
		if (!f)
			return 1;
		fprintf(f, "thole-checkpoint 1\nmeta.json %zu %s\n", size, hex);
		return fclose(f) != 0;
	}
	d = argc > 1 ? opendir(argv[1]) : NULL;
	if (!d)
		return 1;
	printf("{");
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.' || !strcmp(e->d_name, "meta.json") ||
		    !strcmp(e->d_name, "inventory.img"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", argv[1], e->d_name);
		digest(path, &size, hex);
		printf("%s\"%s\": {\"size\": %zu, \"digest\": \"%s\"}", comma, e->d_name, size,
		       hex);
		comma = ", ";
	}
	printf("}\n");
	return 0;
}
