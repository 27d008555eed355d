#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tree.sh: the tree at the working directory, a line a name, but for what $LEAVE_OUT (an extended regular expression
# of find) matches. What a clock or an inode number would make differ is not in it.
export LC_ALL=C
find . -regextype posix-extended ! -regex "${LEAVE_OUT:-none}" ! -type f -printf '%P\t%y %m %U:%G %l\n' | sort
find . -regextype posix-extended ! -regex "${LEAVE_OUT:-none}" -type f -printf '%P\t%y %m %U:%G %s %n\n' | sort
find . -regextype posix-extended ! -regex "${LEAVE_OUT:-none}" -type f -print0 | sort -z | xargs -0 -r sha256sum
