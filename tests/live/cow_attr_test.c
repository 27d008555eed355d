/* SPDX-License-Identifier: Apache-2.0 */
/* What is changed of a file but for its contents: in a copy-on-write directory as in a plain
 * one. */
#include "lib/cow_rows.h"
#include "lib/tap.h"

static const char *const mode_rows[] = {
	"chmod f 0600; stat f; cat f",
	"chmod f 0; stat f; open 0 f rd",
	"chmod f 04755; stat f",
	"chmod f 02755; stat f",
	"chmod f 01777; stat f",
	"chmod f 0107777; stat f",
	"chmod mine 0600; stat mine; cat mine",
	"chmod mine 06755; stat mine",
	"chmod secret 0644; stat secret",
	"chmod d 0700; stat d; stat d/a; open 0 d rd; list 0",
	"chmod dm 0500; open 0 dm/new wr,creat 0644",
	"chmod dm 0; stat dm; stat dm/f",
	"chmod dm 01777; stat dm; open 0 dm/new wr,creat 0644; fstat 0",
	"chmod dg 0755; open 0 dg/new wr,creat 0644; fstat 0",
	"chmod lf 0600; lstat lf; stat f",
	"chmod ld 0700; lstat ld; stat d",
	"chmod lm 0600; stat dm/f",
	"chmod h 0600; stat d/a; stat h",
	"chmod d/a 0600; stat h; open 0 h wr; write 0 x; stat d/a",
	"chmod fifo 0600; stat fifo",
	"chmod sock 0600; stat sock",
	"chmod holes 0600; stat holes; cat holes",
	"chmod suid 0755; stat suid",
	"chmod nothing 0644; chmod dangling 0644; chmod loop 0644; chmod '' 0644; chmod f/ 0644",
	"chmod dp/in 0644; chmod dr/in 0644; chmod dx/in 0644; chmod dm/root 0600; chmod f/x 0644",
	"chmod @ 0755; stat @",
	"open 0 f rd; fchmod 0 0600; fstat 0; stat f; read 0",
	"open 0 f wr; fchmod 0 0600; stat f",
	"open 0 mine rd; fchmod 0 0600; stat mine; fstat 0",
	"open 0 d rd; fchmod 0 0700; stat d; fstat 0",
	"open 0 f path; fchmod 0 0600; fchmodempty 0 0600; stat f",
	"open 0 lf path,onofollow; fchmodempty 0 0600; lstat lf; stat f",
	"open 0 f rd; unlink f; open 1 f wr,creat 0640; stat f; fchmod 1 0600; stat f",
	"open 0 mine wr; unlink mine; fchmod 0 0600; fstat 0",
	"fchmod 7 0600",
	"fchmodat f 0600; stat f; fchmodat '' 0600; fchmodat nothing 0600; fchmodat lf 0640; stat f",
	"fchmodat d/sub/deep 0600; stat d/sub/deep; stat d/sub",
	"fchmodat2 f 0600 none; fchmodat2 lf 0600 nofollow; fchmodat2 f 0640 nofollow; stat f",
	"fchmodat2 '' 0711 empty; fchmodat2 '' 0711 none; fchmodat2 f 0600 badflag; stat @",
	"fchmodat2 mine 0600 none; fchmodat2 dm 0700 nofollow; stat dm; stat mine",
	"chmod suid 06755; chown suid 0 0; stat suid",
	"chown f 0 0; stat f",
	"chown f 65534 65534; stat f; cat f; getxattr f user.test",
	"chown f -1 -1; stat f",
	"chown f 65534 -1; stat f",
	"chown f -1 65534; stat f",
	"chown mine -1 65534; stat mine",
	"chown mine 65534 65534; stat mine",
	"chown mine 0 0; stat mine",
	"chown mine -1 7; stat mine",
	"chown suid 65534 65534; stat suid",
	"chown suid -1 -1; stat suid",
	"chown d 65534 65534; stat d; stat d/a",
	"chown dm -1 -1; stat dm; chown dm 65534 65534",
	"chown lf 65534 65534; lstat lf; stat f",
	"chown ld 65534 -1; lstat ld; stat d",
	"chown h 65534 65534; stat d/a",
	"chown fifo 65534 65534; stat fifo; chown sock 65534 65534; stat sock",
	"chown nothing 0 0; chown dangling 0 0; chown loop 0 0; chown '' 0 0; chown f/ 0 0",
	"chown dp/in -1 -1; chown dr/in -1 -1; chown dx/in -1 -1; chown dm/root 65534 -1",
	"lchown lf 65534 65534; lstat lf; stat f; readlink lf",
	"lchown dangling 65534 65534; lstat dangling; readlink dangling",
	"lchown ld 65534 65534; lstat ld; stat d; lchown ld/ 65534 65534; stat d",
	"lchown lm -1 65534; lstat lm; stat dm/f",
	"lchown f 65534 65534; stat f; lchown nothing 0 0; lchown loop 65534 0; lstat loop",
	"open 0 f rd; fchown 0 65534 65534; fstat 0; stat f; read 0",
	"open 0 d rd; fchown 0 65534 65534; fstat 0; stat d",
	"open 0 mine rd; fchown 0 -1 65534; fstat 0; stat mine",
	"open 0 f path; fchown 0 0 0; fchown 7 0 0",
	"fchownat f 65534 65534 none; stat f; fchownat lf 65534 0 nofollow; lstat lf",
	"fchownat '' 65534 65534 empty; stat @; fchownat '' 0 0 none; fchownat f 0 0 badflag",
	"fchownat d/sub 65534 65534 none; stat d/sub; stat d; stat d/sub/deep",
	"chmod d/sub/deep 0600; stat d/sub; stat d; stat @",
	"unlink f; chmod f 0600; chown f 0 0; open 0 f wr,creat 0644; chmod f 0600; stat f",
};

static const char *const time_rows[] = {
	"utime f 5 6; stat f; cat f",
	"utime f; stat f",
	"utime mine 5 6; stat mine; utime mine; stat mine",
	"utime all 5 6; stat all; utime all; stat all",
	"utime secret 5 6; utime secret; utime nothing 5 6; utime '' 5 6; utime f/ 5 6",
	"utime lf 5 6; lstat lf; stat f; utime dangling 5 6; utime loop 5 6",
	"utime d 5 6; stat d; stat d/a; utime dm 7 8; stat dm",
	"utime h 5 6; stat d/a; utime holes 5 6; stat holes; cat holes",
	"utime fifo 5 6; stat fifo; utime sock 5 6; stat sock; utime dp/in 5 6",
	"utimes f 5 6; stat f; utimes f 5 6 1000000; utimes f 5 6 -1; utimes f; stat f",
	"utimes mine 5 6 999999; stat mine; utimes lm 7 8; stat dm/f; utimes nothing",
	"utimes d/sub/deep 5 6; stat d/sub/deep; stat d/sub",
	"futimesat f 5 6; stat f; futimesat lf 7 8; stat f; lstat lf; futimesat mine; stat mine",
	"futimesat '' 5 6; futimesat nothing 5 6; futimesat d 5 6; stat d",
	"utimensat f 5 6 none; stat f",
	"utimensat f now now none; stat f",
	"utimensat f omit 6 none; stat f",
	"utimensat f 5 omit none; stat f",
	"utimensat f omit omit none; stat f; utimensat nothing omit omit none",
	"utimensat mine now omit none; stat mine; utimensat mine omit now none; stat mine",
	"utimensat all now now none; stat all; utimensat all omit now none; utimensat all 5 now none",
	"utimensat lf 5 6 nofollow; lstat lf; stat f; readlink lf",
	"utimensat dangling 5 6 nofollow; lstat dangling; utimensat dangling 5 6 none",
	"utimensat lm 5 6 nofollow; lstat lm; utimensat lm 7 8 none; stat dm/f",
	"utimensat '' 5 6 empty; stat @; utimensat '' 5 6 none; utimensat f 5 6 badflag",
	"utimensat d 5 6 none; stat d; open 0 d/new wr,creat 0644; stat d",
	"utimensat f -5 -6 none; stat f; utimensat f 5 4294967296 none; stat f",
	"utimensat readonly 5 6 none; stat readonly; utimensat readonly; stat readonly",
	"open 0 f rd; futimens 0 5 6; fstat 0; stat f",
	"open 0 f wr; futimens 0 5 6; fstat 0; stat f; write 0 x; stat f",
	"open 0 mine rd; futimens 0; fstat 0; stat mine; futimens 0 5 6 badflag",
	"open 0 d rd; futimens 0 5 6; stat d; open 1 f path; futimens 1 5 6; futimens 7 5 6",
	"open 0 all rd; futimens 0 now now; stat all; futimens 0 omit now",
	"unlink f; utime f 5 6; open 0 f wr,creat 0644; utime f 5 6; stat f",
};

static const char *const size_rows[] = {
	"truncate f 0; stat f; cat f",
	"truncate f 5; stat f; cat f; getxattr f user.test",
	"truncate f 100; stat f",
	"truncate f 14; stat f",
	"truncate f -1",
	"truncate mine 2; stat mine; cat mine",
	"truncate mine 0; stat mine",
	"truncate all 1; stat all; cat all",
	"truncate secret 0; truncate readonly 0; truncate mine0 0; truncate nothing 0",
	"truncate d 0; truncate fifo 0; truncate sock 0; truncate '' 0; truncate f/ 0",
	"truncate lf 3; stat f; cat f; lstat lf; truncate dangling 0; truncate loop 0",
	"truncate h 1; cat d/a; stat d/a; truncate holes 10; cat holes; stat holes",
	"truncate holes 4194304; stat holes; cat holes; truncate suid 1; stat suid",
	"truncate dp/in 0; truncate dx/in 1; stat dx/in; truncate d/sub/deep 2; stat d/sub",
	"open 0 f wr; ftruncate 0 3; fstat 0; cat f; open 1 f rd; ftruncate 1 0",
	"open 0 f rd; truncate f 3; cat f; open 1 f rd; read 1",
};

static const char *const xattr_rows[] = {
	"getxattr f user.test; getxattr lf user.test; lgetxattr lf user.test; listxattr f",
	"getxattr f user.test 0; getxattr f user.test 2; getxattr f user.none; getxattr f bad",
	"getxattr d user.dir; listxattr d; listxattr d 0; listxattr d 3; listxattr mine",
	"getxattr nothing user.x; getxattr secret user.x; listxattr secret; listxattr nothing",
	"lgetxattr dangling user.x; llistxattr dangling; getxattr dangling user.x; llistxattr lf",
	"open 0 f rd; fgetxattr 0 user.test; flistxattr 0; open 1 f path; fgetxattr 1 user.test",
	"open 0 d rd; fgetxattr 0 user.dir; flistxattr 0; flistxattr 7; fgetxattr 7 user.x",
	"getxattrat f user.test none; getxattrat lf user.test nofollow; getxattrat '' user.x empty",
	"listxattrat f none; listxattrat lf nofollow; listxattrat '' empty; listxattrat f badflag",
	"setxattr f user.new 1; listxattr f; getxattr f user.new; cat f; stat f",
	"setxattr f user.test other; getxattr f user.test; listxattr f",
	"setxattr f user.test x xcreate; setxattr f user.none x xreplace; setxattr f user.test x 7",
	"setxattr f user.a x xcreate; setxattr f user.a y xreplace; getxattr f user.a",
	"setxattr mine user.a x; getxattr mine user.a; stat mine; cat mine",
	"setxattr mine user. x; setxattr mine bad x; setxattr mine nothing.x x; setxattr mine '' x",
	"setxattr d user.dir other; getxattr d user.dir; stat d; listxattr d",
	"setxattr dm user.x x; getxattr dm user.x; stat dm; setxattr dt user.x x",
	"setxattr lf user.a x; getxattr f user.a; lsetxattr lf user.a x; lsetxattr f user.b y",
	"lsetxattr dangling user.a x; lsetxattr nothing user.a x; setxattr dangling user.a x",
	"setxattr fifo user.a x; setxattr sock user.a x; setxattr readonly user.a x",
	"setxattr h user.a x; getxattr d/a user.a; setxattr secret user.a x; setxattr all user.a x",
	"setxattr f trusted.a x; getxattr f trusted.a; listxattr f",
	"lsetxattr lf trusted.a x; lgetxattr lf trusted.a; llistxattr lf; lremovexattr lf trusted.a",
	"setxattr f security.a x; getxattr f security.a; removexattr f security.a",
	"open 0 f rd; fsetxattr 0 user.a x; fgetxattr 0 user.a; getxattr f user.a; listxattr f",
	"open 0 mine wr; fsetxattr 0 user.a x; fgetxattr 0 user.a; getxattr mine user.a",
	"open 0 d rd; fsetxattr 0 user.a x; getxattr d user.a; open 1 d path; fsetxattr 1 user.a x",
	"setxattrat f user.a x none none; getxattr f user.a; setxattrat '' user.a x empty none",
	"setxattrat lf user.a x nofollow none; setxattrat f user.a x badflag none",
	"removexattr f user.test; listxattr f; getxattr f user.test; stat f; cat f",
	"removexattr f user.none; removexattr f bad; removexattr nothing user.a; stat f",
	"removexattr d user.dir; listxattr d; removexattr secret user.a; removexattr mine user.a",
	"lremovexattr lf user.test; removexattr lf user.test; getxattr f user.test",
	"open 0 f rd; fremovexattr 0 user.test; listxattr f; fremovexattr 0 user.test; flistxattr 0",
	"removexattrat f user.test none; listxattr f; removexattrat lf user.x nofollow",
	"chmod f 0600; getxattr f user.test; chmod d 0700; getxattr d user.dir; listxattr d",
	"open 0 f wr,trunc; getxattr f user.test; open 1 holes wr; listxattr holes",
};

static void root_sets_owner_and_mode(void)
{
	cow_rows(mode_rows, TAP_COUNT(mode_rows), COW_ROOT);
}

static void a_guest_sets_owner_and_mode(void)
{
	cow_rows(mode_rows, TAP_COUNT(mode_rows), COW_GUEST);
}

static void nobody_sets_owner_and_mode(void)
{
	cow_rows(mode_rows, TAP_COUNT(mode_rows), COW_NOBODY);
}

static void root_sets_times(void)
{
	cow_rows(time_rows, TAP_COUNT(time_rows), COW_ROOT);
}

static void a_guest_sets_times(void)
{
	cow_rows(time_rows, TAP_COUNT(time_rows), COW_GUEST);
}

static void nobody_sets_times(void)
{
	cow_rows(time_rows, TAP_COUNT(time_rows), COW_NOBODY);
}

static void root_sets_size(void)
{
	cow_rows(size_rows, TAP_COUNT(size_rows), COW_ROOT);
}

static void a_guest_sets_size(void)
{
	cow_rows(size_rows, TAP_COUNT(size_rows), COW_GUEST);
}

static void nobody_sets_size(void)
{
	cow_rows(size_rows, TAP_COUNT(size_rows), COW_NOBODY);
}

static void root_sets_attributes(void)
{
	cow_rows(xattr_rows, TAP_COUNT(xattr_rows), COW_ROOT);
}

static void a_guest_sets_attributes(void)
{
	cow_rows(xattr_rows, TAP_COUNT(xattr_rows), COW_GUEST);
}

static void nobody_sets_attributes(void)
{
	cow_rows(xattr_rows, TAP_COUNT(xattr_rows), COW_NOBODY);
}

static void as_it_is(void)
{
	cow_rows(mode_rows, TAP_COUNT(mode_rows), COW_SHOWN);
	cow_rows(time_rows, TAP_COUNT(time_rows), COW_SHOWN);
	cow_rows(size_rows, TAP_COUNT(size_rows), COW_SHOWN);
	cow_rows(xattr_rows, TAP_COUNT(xattr_rows), COW_SHOWN);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(root_sets_owner_and_mode),
		TAP(a_guest_sets_owner_and_mode),
		TAP(nobody_sets_owner_and_mode),
		TAP(root_sets_times),
		TAP(a_guest_sets_times),
		TAP(nobody_sets_times),
		TAP(root_sets_size),
		TAP(a_guest_sets_size),
		TAP(nobody_sets_size),
		TAP(root_sets_attributes),
		TAP(a_guest_sets_attributes),
		TAP(nobody_sets_attributes),
		TAP(as_it_is),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
