/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why the names are led elsewhere, and not the functions overwritten: the functions that add to the
 * clock call the real ones, which read the kernel's page and need no system call. So they have to
 * stay whole, wherever the kernel's compiler put their instructions. Whoever looks a function up
 * does so by name, at its program's start (libc, Go's runtime), and a program starts with a vDSO of
 * its own each time.
 *
 *	mapping   | headers, tables, code | sections | mark, offset, functions | unused |
 *	                                  ^ loaded   ^ room
 *
 * What is loaded grows to the end of the functions: the room of a tracer's code (trace_room.c)
 * begins behind it.
 */
#include "task/vdso.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "task/proc.h"

#define ALIGN 16u
#define SYMBOLS_MAX 4096
#define PARTS_MAX 16 /* program headers */
#define ADDED_MAX 4

static const uint8_t mark[8] = { 't', 'h', 'o', 'l', 'e', 0, 'c', 'k' };

/* Copies out n bytes at an offset; false where they are not all there. */
static bool get(const struct vdso *v, uint64_t at, void *out, size_t n)
{
	if (at > v->len || n > v->len - at)
		return false;
	memcpy(out, v->bytes + at, n);
	return true;
}

static void put(struct vdso *v, size_t at, const void *data, size_t n)
{
	memcpy(v->bytes + at, data, n);
}

/* An address of the tables as an offset. */
static uint64_t offset_of(const struct vdso *v, uint64_t addr)
{
	return addr - v->bias;
}

static bool read_header(struct vdso *v, Elf64_Ehdr *eh)
{
	if (!get(v, 0, eh, sizeof(*eh)) || memcmp(eh->e_ident, ELFMAG, SELFMAG) ||
	    eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_ident[EI_DATA] != ELFDATA2LSB ||
	    eh->e_phentsize != sizeof(Elf64_Phdr) || eh->e_phnum > PARTS_MAX)
		return false;
	v->arch = arch_find_machine(eh->e_machine);
	return v->arch != NULL;
}

/* What is loaded and where the dynamic section is. */
static bool read_parts(struct vdso *v, const Elf64_Ehdr *eh, Elf64_Phdr *dynamic)
{
	bool loads = false, has_dynamic = false;
	Elf64_Phdr ph;

	for (unsigned i = 0; i < eh->e_phnum; i++) {
		uint64_t at = eh->e_phoff + (uint64_t)i * sizeof(ph);

		if (at < eh->e_phoff || !get(v, at, &ph, sizeof(ph)))
			return false;
		if (ph.p_type == PT_DYNAMIC) {
			*dynamic = ph;
			has_dynamic = true;
		}
		if (ph.p_type != PT_LOAD)
			continue;
		/* one, from the beginning of the mapping on */
		if (loads || ph.p_offset || ph.p_filesz > v->len || ph.p_memsz > v->len)
			return false;
		loads = true;
		v->load = (size_t)at;
		v->bias = ph.p_vaddr;
		v->loaded = (size_t)ph.p_filesz;
	}
	return loads && has_dynamic;
}

/* The number of symbols, which only the hash tables tell: of System V. */
static size_t count_sysv(const struct vdso *v, uint64_t at)
{
	uint32_t head[2];

	return get(v, at, head, sizeof(head)) ? head[1] : 0;
}

/* And GNU's: one more than the last of the longest chain. */
static size_t count_gnu(const struct vdso *v, uint64_t at)
{
	uint32_t head[4], last = 0, value;
	uint64_t buckets, chains;

	if (!get(v, at, head, sizeof(head)) || head[0] > SYMBOLS_MAX || head[2] > SYMBOLS_MAX)
		return 0;
	buckets = at + sizeof(head) + head[2] * sizeof(uint64_t);
	chains = buckets + head[0] * sizeof(uint32_t);
	for (uint32_t i = 0; i < head[0]; i++) {
		if (!get(v, buckets + i * sizeof(value), &value, sizeof(value)))
			return 0;
		last = value > last ? value : last;
	}
	if (last < head[1])
		return head[1];
	for (; last < SYMBOLS_MAX; last++) {
		uint64_t link = chains + (uint64_t)(last - head[1]) * sizeof(value);

		if (!get(v, link, &value, sizeof(value)))
			return 0;
		if (value & 1)
			return (size_t)last + 1;
	}
	return 0;
}

static bool read_dynamic(struct vdso *v, const Elf64_Phdr *dynamic)
{
	uint64_t hash = 0, gnu = 0, symbols = 0, strings = 0, strings_len = 0;
	Elf64_Dyn d = { .d_tag = DT_NULL };
	size_t n = 0;

	for (uint64_t i = 0; i < dynamic->p_filesz / sizeof(d); i++) {
		if (!get(v, dynamic->p_offset + i * sizeof(d), &d, sizeof(d)))
			return false;
		if (d.d_tag == DT_NULL)
			break;
		if (d.d_tag == DT_HASH)
			hash = offset_of(v, d.d_un.d_ptr);
		else if (d.d_tag == DT_GNU_HASH)
			gnu = offset_of(v, d.d_un.d_ptr);
		else if (d.d_tag == DT_SYMTAB)
			symbols = offset_of(v, d.d_un.d_ptr);
		else if (d.d_tag == DT_STRTAB)
			strings = offset_of(v, d.d_un.d_ptr);
		else if (d.d_tag == DT_STRSZ)
			strings_len = d.d_un.d_val;
		else if (d.d_tag == DT_SYMENT && d.d_un.d_val != sizeof(Elf64_Sym))
			return false;
	}
	if (hash)
		n = count_sysv(v, hash);
	else if (gnu)
		n = count_gnu(v, gnu);
	if (!n || n > SYMBOLS_MAX || symbols > v->len || n * sizeof(Elf64_Sym) > v->len - symbols ||
	    strings > v->len || strings_len > v->len - strings)
		return false;
	v->symbols = (size_t)symbols;
	v->n_symbols = n;
	v->strings = (size_t)strings;
	v->strings_len = (size_t)strings_len;
	return true;
}

/* Behind the section headers, too, where they stand at the end: a debugger reads them. */
static size_t room_of(const struct vdso *v, const Elf64_Ehdr *eh)
{
	uint64_t sections = (uint64_t)eh->e_shnum * eh->e_shentsize, end = v->loaded;

	if (eh->e_shoff >= end && eh->e_shoff <= v->len && sections <= v->len - eh->e_shoff)
		end = eh->e_shoff + sections;
	end = (end + ALIGN - 1) / ALIGN * ALIGN;
	return end < v->len ? (size_t)end : v->len;
}

int vdso_parse(uint8_t *bytes, size_t len, struct vdso *out)
{
	struct vdso v = { .bytes = bytes, .len = len };
	Elf64_Phdr dynamic = { .p_type = PT_NULL };
	Elf64_Ehdr eh;

	if (len > VDSO_MAX || !read_header(&v, &eh) || !read_parts(&v, &eh, &dynamic) ||
	    !read_dynamic(&v, &dynamic))
		return fail(EINVAL, "what is mapped as the vDSO is not one that is known here");
	v.room = room_of(&v, &eh);
	*out = v;
	return 0;
}

static bool get_symbol(const struct vdso *v, size_t i, Elf64_Sym *out)
{
	return get(v, v->symbols + i * sizeof(*out), out, sizeof(*out)) &&
	       out->st_shndx != SHN_UNDEF &&
	       (ELF64_ST_TYPE(out->st_info) == STT_FUNC ||
		ELF64_ST_TYPE(out->st_info) == STT_NOTYPE) &&
	       offset_of(v, out->st_value) < v->loaded;
}

static bool is_named(const struct vdso *v, const Elf64_Sym *sym, const char *name)
{
	size_t n = strlen(name) + 1;

	return sym->st_name < v->strings_len && n <= v->strings_len - sym->st_name &&
	       memcmp(v->bytes + v->strings + sym->st_name, name, n) == 0;
}

int vdso_find(const struct vdso *v, const char *name, size_t *out_at, size_t *out_len)
{
	Elf64_Sym sym;

	for (size_t i = 0; i < v->n_symbols; i++) {
		if (!get_symbol(v, i, &sym) || !is_named(v, &sym, name))
			continue;
		*out_at = (size_t)offset_of(v, sym.st_value);
		*out_len = sym.st_size < v->loaded - *out_at ? (size_t)sym.st_size
							     : v->loaded - *out_at;
		return 0;
	}
	return -ENOENT;
}

/* All names of what is at `from` lead to `to`. */
static void lead(struct vdso *v, size_t from, size_t to, size_t len)
{
	Elf64_Sym sym;

	for (size_t i = 0; i < v->n_symbols; i++) {
		if (!get_symbol(v, i, &sym) || offset_of(v, sym.st_value) != from)
			continue;
		sym.st_value = to + v->bias;
		sym.st_size = len;
		put(v, v->symbols + i * sizeof(sym), &sym, sizeof(sym));
	}
}

/* What stands from `room` on is loaded up to `end`. */
static void grow(struct vdso *v, size_t end)
{
	Elf64_Phdr ph;

	memcpy(&ph, v->bytes + v->load, sizeof(ph));
	ph.p_filesz = end;
	if (ph.p_memsz < end)
		ph.p_memsz = end;
	put(v, v->load, &ph, sizeof(ph));
	v->loaded = end;
	v->room = (end + ALIGN - 1) / ALIGN * ALIGN;
}

static bool is_unused(const struct vdso *v, size_t at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (v->bytes[at + i])
			return false;
	return true;
}

/* Gives up the section headers, which no program reads, for the room they take. False where that
 * gains nothing. */
static bool drop_sections(struct vdso *v)
{
	size_t end = (v->loaded + ALIGN - 1) / ALIGN * ALIGN;
	Elf64_Ehdr eh;

	if (end >= v->room)
		return false;
	memcpy(&eh, v->bytes, sizeof(eh));
	eh.e_shoff = 0;
	eh.e_shnum = 0;
	eh.e_shstrndx = SHN_UNDEF;
	put(v, 0, &eh, sizeof(eh));
	memset(v->bytes + end, 0, v->room - end);
	v->room = end;
	return true;
}

static bool has_room(const struct vdso *v, size_t end)
{
	return end <= v->len && is_unused(v, v->room, end - v->room);
}

/* One of the functions, as it will be. */
struct added {
	size_t from, at, len;
	uint8_t code[ARCH_CLOCK_MAX];
};

/* *end moves on to behind the last one. Returns how many, or -errno with a text. */
static int make_functions(const struct vdso *v, size_t offset, struct added *out, size_t *end)
{
	struct arch_clock_at at;
	size_t len, gettime = 0;
	int n = 0;

	for (size_t i = 0; i < v->arch->n_entries; i++) {
		const struct arch_entry *e = &v->arch->entries[i];
		struct added *f = &out[n];

		if (e->clock == ARCH_CLOCK_NONE || n == ADDED_MAX ||
		    vdso_find(v, e->name, &f->from, &len))
			continue;
		/* it is the first one of the table */
		if (e->clock == ARCH_CLOCK_GETTIME)
			gettime = f->from;
		if (!gettime)
			return fail(ENOENT, "the vDSO has no clock_gettime");
		f->at = (*end + ALIGN - 1) / ALIGN * ALIGN;
		at = (struct arch_clock_at){ f->at, f->from, offset };
		if (e->clock == ARCH_CLOCK_TIME)
			at.real = gettime;
		f->len = arch_clock(v->arch, e->clock, &at, f->code);
		*end = f->at + f->len;
		n++;
	}
	return n ? n : fail(ENOENT, "the vDSO has no clock_gettime");
}

int vdso_add_clock(struct vdso *v, const struct arch_offset *offset, size_t *out_at)
{
	struct added added[ADDED_MAX];
	struct arch_offset old;
	size_t at, end;
	int n;

	if (vdso_clock(v, &old) == 0)
		return fail(EEXIST, "the vDSO's clock has an offset already");
	do {
		at = v->room + sizeof(mark);
		end = at + sizeof(*offset);
		n = make_functions(v, at, added, &end);
	} while (n > 0 && !has_room(v, end) && drop_sections(v));
	if (n < 0)
		return n;
	if (!has_room(v, end))
		return fail(ENOSPC, "the vDSO has no room for %zu bytes", end - v->room);
	put(v, v->room, mark, sizeof(mark));
	put(v, at, offset, sizeof(*offset));
	for (int i = 0; i < n; i++) {
		put(v, added[i].at, added[i].code, added[i].len);
		lead(v, added[i].from, added[i].at, added[i].len);
	}
	grow(v, end);
	*out_at = at;
	return 0;
}

int vdso_clock(const struct vdso *v, struct arch_offset *out)
{
	/* the mark stands on its own alignment, behind the tables */
	for (size_t at = ALIGN; at + sizeof(mark) + sizeof(*out) <= v->loaded; at += ALIGN)
		if (memcmp(v->bytes + at, mark, sizeof(mark)) == 0)
			return get(v, at + sizeof(mark), out, sizeof(*out)) ? 0 : -ENOENT;
	return -ENOENT;
}

int vdso_redirect(struct vdso *v, size_t at, size_t len, uint64_t base, uint64_t to)
{
	uint8_t far[ARCH_JUMP_MAX], near[ARCH_JUMP_MAX];
	size_t n = arch_jump(v->arch, base + at, to, far), n_near;

	if (!n || at > v->loaded || len > v->loaded - at)
		return fail(EINVAL, "a function of the vDSO at %#zx can't lead to %#llx", at,
			    (unsigned long long)to);
	if (n <= len) {
		put(v, at, far, n);
		return 0;
	}
	do {
		n = arch_jump(v->arch, base + v->room, to, far);
		n_near = arch_jump(v->arch, base + at, base + v->room, near);
	} while (!has_room(v, v->room + n) && drop_sections(v));
	if (!has_room(v, v->room + n) || n_near > len)
		return fail(ENOSPC, "the vDSO has no room for a jump");
	put(v, v->room, far, n);
	put(v, at, near, n_near);
	grow(v, v->room + n);
	return 0;
}

int vdso_own(struct arena *a, struct vdso *out)
{
	const uint8_t *at = (const uint8_t *)getauxval(AT_SYSINFO_EHDR);
	struct proc_vma vma;
	uint8_t *copy;
	int ret;

	if (!at)
		return fail(ENOENT, "this kernel maps no vDSO");
	ret = proc_vma_at(a, getpid(), (uintptr_t)at, &vma);
	if (ret)
		return fail_in(ret, "look for the vDSO");
	if (vma.start != (uintptr_t)at || vma.end - vma.start > VDSO_MAX)
		return fail(ENOTSUP, "the vDSO's mapping is not as it should be");
	copy = arena_alloc(a, (size_t)(vma.end - vma.start));
	memcpy(copy, at, (size_t)(vma.end - vma.start));
	return vdso_parse(copy, (size_t)(vma.end - vma.start), out);
}
