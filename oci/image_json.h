/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of an image (ckpt/record.h) as JSON: an object a structure, by the same table both
 * ways.
 *
 *	RECORD_HEX      "0x1f"
 *	RECORD_TEXT     a string; {"bytes": "66ff"} where it is not UTF-8
 *	RECORD_BYTES    a string of hexadecimal digits
 */
#ifndef OCI_IMAGE_JSON_H
#define OCI_IMAGE_JSON_H

#include "ckpt/record.h"

extern const struct record_codec image_json;

#endif
