/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A first process that is to be restored executes nothing of the container's: it waits to be taken
 * over. But the memory of a process belongs to the user namespace that it executed its program in,
 * and with it the right to look at one that is not dumpable. So in a user namespace of its own it
 * executes the smallest of programs, and is the container's as one that was started is.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "arch/arch.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/sys.h"
#include "jail/enter.h"

#define PLACE 0x10000000u /* where nothing else is when it starts */
#define PAGE 4096u

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010u
#endif

/* elf(5): one segment, that is the file. */
struct program {
	Elf64_Ehdr head;
	Elf64_Phdr segment;
	uint8_t code[ARCH_IDLE_MAX];
	struct enter_note note;
};

static void write_program(struct program *p, int channel)
{
	*p = (struct program){
		.head = {
			.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
				     EV_CURRENT },
			.e_type = ET_EXEC,
			.e_machine = arch_native()->machine,
			.e_version = EV_CURRENT,
			.e_entry = PLACE + offsetof(struct program, code),
			.e_phoff = offsetof(struct program, segment),
			.e_ehsize = sizeof(p->head),
			.e_phentsize = sizeof(p->segment),
			.e_phnum = 1,
		},
		.segment = {
			.p_type = PT_LOAD,
			.p_flags = PF_R | PF_X,
			.p_vaddr = PLACE,
			.p_paddr = PLACE,
			.p_filesz = sizeof(*p),
			.p_memsz = sizeof(*p),
			.p_align = PAGE,
		},
		.note = { .kind = NOTE_READY },
	};
	arch_idle(arch_native(), (uint32_t)channel, PLACE + offsetof(struct program, note),
		  sizeof(p->note), p->code);
}

/* Says that it is ready from there. */
static int execute_idle(struct enter *e)
{
	static char name[] = "thole";
	char *const args[] = { name, NULL }, *const env[] = { NULL };
	auto_fd fd = memfd_create(name, MFD_CLOEXEC | MFD_EXEC);
	struct program program;

	/* a kernel that does not know the flag makes all of them so */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC);
	write_program(&program, e->channel);
	if (fd < 0 || fd_write_all(fd, &program, sizeof(program)) < 0 ||
	    fcntl(e->channel, F_SETFD, 0) < 0)
		return fail_errno("make the program to wait by");
	execveat(fd, "", args, env, AT_EMPTY_PATH);
	return fail_errno("execute the program to wait by");
}

/*
 * What becomes of it from here on is decided from outside: it keeps the rights of the container's
 * root until then, and may be traced by an ordinary user again, whose program it still runs.
 */
int enter_hand_over(struct enter *e)
{
	int ret;

	/* one that is no root there would lose its rights */
	if (ns_new(&e->sb->ns, NS_USER) && geteuid() == 0)
		return execute_idle(e);
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
		return fail_errno("become dumpable");
	ret = enter_report(e, NOTE_READY);
	return ret ? ret : enter_await(e);
}
