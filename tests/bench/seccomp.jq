# The seccomp section that podman makes of its profile for x86_64 and the capabilities of the config
# ($caps): rules for other architectures and for capabilities that are there or not fall away.
def applies:
	((.includes.arches // []) | length == 0 or index("amd64")) and
	((.excludes.arches // []) | index("amd64") | not) and
	((.includes.caps // []) | length == 0 or (. - $caps | length == 0)) and
	((.excludes.caps // []) | length == 0 or (. - ($caps) == .));
.linux.seccomp = {
	defaultAction: $profile[0].defaultAction,
	defaultErrnoRet: $profile[0].defaultErrnoRet,
	architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
	syscalls: [$profile[0].syscalls[] | select(applies) | { names, action, args: (.args // []), errnoRet } | with_entries(select(.value != null))]
}
