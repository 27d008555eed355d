# SPDX-License-Identifier: Apache-2.0
# The program: main.c on top of everything else, which is a library too so that tests can link it.
