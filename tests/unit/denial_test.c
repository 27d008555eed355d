/* SPDX-License-Identifier: Apache-2.0 */
/* Audit records, as kernel/audit.c and security/landlock/audit.c write them. */
#include "jail/denial.h"

#include "lib/tap.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>

static struct denial_record parse(const char *line)
{
	struct denial_record r;

	if (!ok(denial_parse(line, &r), "%s", line))
		exit(1);
	return r;
}

static void seccomp(void)
{
	static const char text[] =
		"audit: type=1326 audit(1795330550.138:5): auid=4294967295 uid=0 gid=0 ses=4294967295 "
		"pid=859 comm=\"probe\" exe=\"/bin/probe\" sig=31 arch=c000003e syscall=124 compat=0 "
		"ip=0x43ab09 code=0x80000000";
	struct denial_record r = parse(text);

	is_int(r.kind, DENIAL_SECCOMP, "kind");
	is_int(r.ms, 1795330550138, "time");
	is_int(r.serial, 5, "serial");
	is_int(r.pid, 859, "pid, not that of auid");
	is_str(r.comm, "probe", "comm");
	is_str(r.exe, "/bin/probe", "exe");
	is_int(r.arch, AUDIT_ARCH_X86_64, "arch");
	is_int(r.nr, 124, "number");
	is_int(r.code, SECCOMP_RET_KILL_PROCESS, "verdict");
	is_int(r.port, -1, "no port");
	r = parse(
		"type=SECCOMP msg=audit(1795330550.138:5): auid=0 uid=0 gid=0 ses=1 subj=unconfined "
		"pid=7 comm=\"x\" exe=\"/x\" sig=0 arch=c000003e syscall=111 compat=0 ip=0x4 "
		"code=0x5004d\n");
	is_int(r.code, SECCOMP_RET_ERRNO | 77, "a file of a daemon");
}

static void landlock(void)
{
	struct denial_record r =
		parse("audit: type=1423 audit(1729738800.268:30): domain=195ba459b "
		      "blockers=fs.read_file,fs.write_file path=\"/usr/bin\" dev=\"vda2\" ino=351");

	is_int(r.kind, DENIAL_ACCESS, "kind");
	ok(r.domain == 0x195ba459b, "domain");
	is_str(r.blockers, "fs.read_file,fs.write_file", "blockers");
	is_str(r.path, "/usr/bin", "path");
	is_int(r.pid, 0, "it tells no process");
	r = parse("type=LANDLOCK_ACCESS msg=audit(1729738800.221:33): domain=1a435130e "
		  "blockers=net.connect_tcp daddr=127.0.0.1 dest=80");
	is_int(r.port, 80, "where it connects to");
	r = parse("type=UNKNOWN[1423] msg=audit(1729738800.221:33): domain=1 blockers=net.bind_tcp "
		  "src=1024");
	is_int(r.port, 1024, "what it binds");
	r = parse("audit: type=1423 audit(1729738800.268:30): domain=2 "
		  "blockers=scope.signal opid=1 ocomm=\"systemd\"");
	is_str(r.other, "systemd", "whom it signals");
	is_int(r.pid, 0, "opid is not pid");
	r = parse("audit: type=1424 audit(1729738800.268:30): domain=195ba459b status=allocated "
		  "mode=enforcing pid=300 uid=0 exe=\"/root/sandboxer\" comm=\"sandboxer\"");
	is_int(r.kind, DENIAL_DOMAIN, "kind");
	ok(r.made, "made");
	is_int(r.pid, 300, "by whom");
	r = parse("audit: type=1424 audit(1729738800.324:31): domain=195ba459b status=deallocated "
		  "denials=3");
	ok(!r.made, "taken down");
	r = parse("audit: type=1300 audit(1729738800.268:30): arch=c000003e syscall=165 success=no "
		  "exit=-1 a0=7ffc a1=0 items=0 ppid=1 pid=300 auid=0 comm=\"sh\" exe=\"/bin/sh\"");
	is_int(r.kind, DENIAL_SYSCALL, "kind");
	is_int(r.nr, 165, "number");
	is_int(r.pid, 300, "not ppid");
}

/* Quoted texts are the process's own: what looks like a field in one is none. */
static void hostile(void)
{
	struct denial_record r =
		parse("audit: type=1326 audit(1.000:5): pid=8 comm=\"code=0x1 pid=9\" "
		      "exe=2F746D702F6120220A62 arch=c000003e syscall=1 "
		      "code=0x50001");
	char line[9000];

	is_int(r.pid, 8, "pid");
	is_int(r.code, 0x50001, "code");
	is_str(r.comm, "code=0x1 pid=9", "comm");
	is_str(r.exe, "/tmp/a \"\nb", "hexadecimal");
	memset(line, 'a', sizeof(line));
	memcpy(line, "type=1423 audit(1.000:5): domain=1 blockers=fs.x path=\"", 55);
	line[sizeof(line) - 1] = '\0';
	r = parse(line);
	is_int(strlen(r.path), DENIAL_PATH_MAX - 1, "a long path is cut");
}

static void others(void)
{
	static const char *const lines[] = {
		"",
		"type=",
		"type=1326",
		"usb 1-1: new device",
		"audit: type=1400 audit(1.000:5): apparmor=\"DENIED\"",
		"audit: type=1326 audit(1.000:5): pid=8",
		"audit: type=1326 audit(1.000): pid=8 arch=c000003e syscall=1 code=0x50001",
		"audit: type=1326 audit(1.000:5): pid=8 arch=c000003e syscall=x code=0x50001",
		"audit: type=1326 audit(1.000:5): arch=c000003e syscall=1 code=0x50001",
		"audit: type=1423 audit(1.000:5): domain=1",
		"audit: type=1424 audit(1.000:5): domain=1",
		"audit: type=1300 audit(1.000:5): arch=c000003e",
		"x type=1326 audit(1.000:5): pid=8 arch=c000003e syscall=1 code=0x50001",
	};
	struct denial_record r;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		ok(!denial_parse(lines[i], &r), "no record: %s", lines[i]);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(seccomp),
		TAP(landlock),
		TAP(hostile),
		TAP(others),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
