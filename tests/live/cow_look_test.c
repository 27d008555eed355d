/* SPDX-License-Identifier: Apache-2.0 */
/* What is opened, read and looked at in a copy-on-write directory is what a plain one has. */
#include "lib/cow_rows.h"
#include "lib/tap.h"

static const char *const open_rows[] = {
	"open 0 f rd; read 0; fstat 0; flags 0; close 0",
	"open 0 f wr; write 0 new; fstat 0; flags 0; cat f",
	"open 0 f rdwr; read 0; write 0 more; cat f",
	"open 0 f both3; read 0; write 0 x",
	"open 0 f rd,trunc; fstat 0",
	"open 0 f wr,trunc; write 0 new; cat f",
	"open 0 f rdwr,trunc; fstat 0; write 0 new; lseek 0 0; read 0",
	"open 0 f wr,append; write 0 end; cat f; flags 0",
	"open 0 f rdwr,creat 0600; read 0; write 0 x; cat f",
	"open 0 f wr,creat,excl 0600",
	"open 0 new wr,creat 0640; write 0 new; fstat 0; cat new",
	"open 0 new wr,creat,excl 0666; write 0 new; open 1 new wr,creat,excl 0666",
	"open 0 new rd,creat 0; read 0; fstat 0; open 1 new rd",
	"open 0 new rdwr,creat 0777; flags 0; stat new",
	"open 0 new wr,creat 06777; fstat 0",
	"open 0 d/new wr,creat 0644; write 0 x; cat d/new; stat d",
	"open 0 d/sub/new wr,creat 0644; write 0 x; stat d; stat d/sub",
	"open 0 dg/new wr,creat 0644; fstat 0",
	"open 0 nodir/new wr,creat 0644",
	"open 0 f/new wr,creat 0644",
	"open 0 new/ wr,creat 0644",
	"open 0 d/ wr,creat 0644",
	"open 0 d rd,creat 0644",
	"open 0 f/ rd",
	"open 0 f/ rd,creat 0644",
	"open 0 nothing rd",
	"open 0 nothing/ rd",
	"open 0 d/../f rd; read 0",
	"open 0 ./f rd; read 0",
	"open 0 .//d//a rd; read 0",
	"open 0 d/sub/../a wr; write 0 Z; cat d/a",
	"open 0 '' rd",
	"open 0 @ rd; list 0",
	"open 0 d rd; list 0; fstat 0; flags 0",
	"open 0 d rd,directory; list 0; flags 0",
	"open 0 d/ rd,directory; list 0",
	"open 0 d wr",
	"open 0 d rdwr",
	"open 0 d rd,trunc",
	"open 0 f rd,directory",
	"open 0 d rd,creat,directory",
	"open 0 d rd,onofollow,directory; list 0",
	"open 0 d path; fstat 0; read 0; flags 0",
	"open 0 d path,directory; fstat 0; openfd 1 0 a rd; read 1",
	"open 0 f path; fstat 0; read 0; flags 0; fchmod 0 0600",
	"open 0 f path,directory",
	"open 0 f path,trunc; fstat 0",
	"open 0 lf rd; read 0",
	"open 0 lf rd,onofollow",
	"open 0 lf path,onofollow; fstat 0; flags 0",
	"open 0 lf path; fstat 0",
	"open 0 lf path,onofollow,directory",
	"open 0 lf rd,onofollow,directory",
	"open 0 lf wr; write 0 via; cat f; readlink lf",
	"open 0 lf wr,trunc; fstat 0; stat f",
	"open 0 lf wr,creat 0644; write 0 x; cat f",
	"open 0 lf wr,creat,excl 0644",
	"open 0 ll wr; write 0 two; cat f",
	"open 0 ld rd; list 0",
	"open 0 ld rd,onofollow",
	"open 0 ld/a rd; read 0",
	"open 0 ld/a wr; write 0 Z; cat d/a",
	"open 0 ld/new wr,creat 0644; cat d/new",
	"open 0 d/l rd; read 0",
	"open 0 d/l wr; write 0 up; cat f",
	"open 0 dangling rd",
	"open 0 dangling wr,creat 0644; write 0 made; cat nowhere",
	"open 0 dangling wr,creat,excl 0644",
	"open 0 dangling path,onofollow; fstat 0",
	"open 0 ddangling wr,creat 0644; write 0 made; cat dm/nowhere; stat dm",
	"open 0 loop rd",
	"open 0 loop rd,onofollow",
	"open 0 loop path,onofollow; fstat 0",
	"open 0 loop/x rd",
	"open 0 secret rd; read 0",
	"open 0 secret wr; write 0 S",
	"open 0 readonly rd; read 0",
	"open 0 readonly wr; write 0 x",
	"open 0 readonly rdwr",
	"open 0 readonly wr,trunc",
	"open 0 readonly rd,trunc; fstat 0",
	"open 0 wonly rd",
	"open 0 wonly rdwr",
	"open 0 suid wr; write 0 x; fstat 0; stat suid",
	"open 0 suid wr,trunc; fstat 0; stat suid",
	"open 0 suid rd; fstat 0",
	"open 0 all rdwr; write 0 x; cat all",
	"open 0 mine rdwr; write 0 x; cat mine",
	"open 0 mine0 rd",
	"open 0 mine0 wr",
	"open 0 mine600 rdwr; read 0; write 0 x; cat mine600",
	"open 0 dp rd; list 0",
	"open 0 dp/in rd; read 0",
	"open 0 dp/in wr; write 0 x",
	"open 0 dp/new wr,creat 0644",
	"open 0 dx rd",
	"open 0 dx/in rd; read 0",
	"open 0 dx/in wr; write 0 x; cat dx/in",
	"open 0 dx/new wr,creat 0644",
	"open 0 dr rd; list 0",
	"open 0 dr/in rd",
	"open 0 dm/new wr,creat 0644; fstat 0; stat dm",
	"open 0 dm/root wr; write 0 x",
	"open 0 dt/new wr,creat 0644; fstat 0",
	"open 0 dt/theirs wr; write 0 x",
	"open 0 f rd,noatime; read 0",
	"open 0 mine rd,noatime; read 0",
	"open 0 f rd,cloexec; flags 0",
	"open 0 f rd,sync; flags 0",
	"open 0 f wr,sync; flags 0",
	"open 0 f rd,nonblock; flags 0",
	"open 0 f rd,bad; flags 0",
	"open 0 d tmpfile,rdwr 0600; fstat 0; write 0 t; lseek 0 0; read 0; list 0",
	"open 0 d tmpfile,wr 0644; write 0 t; fstat 0",
	"open 0 d tmpfile,rd 0600",
	"open 0 f tmpfile,rdwr 0600",
	"open 0 nothing tmpfile,rdwr 0600",
	"open 0 dm tmpfile,rdwr 0600; write 0 t; reopen 1 0 rd; read 1; reopen 2 0 wr; write 2 X",
	"open 0 fifo rd,nonblock; fstat 0; read 0",
	"open 0 fifo wr,nonblock",
	"open 0 fifo rdwr,nonblock; write 0 through; open 1 fifo rd,nonblock; read 1",
	"open 0 fifo rdwr; write 0 x; open 1 fifo rd; read 1; open 2 fifo wr; write 2 y; read 0",
	"open 0 fifo path; fstat 0",
	"open 0 sock rd",
	"open 0 sock wr",
	"open 0 sock path; fstat 0",
	"open 0 h rd; read 0; fstat 0",
	"open 0 h wr; write 0 H; cat h; cat d/a; stat d/a",
	"open 0 d/a wr; write 0 A; cat h; stat h",
	"open 0 holes rdwr; fstat 0; write 0 BEGIN; cat holes",
	"open 0 holes wr,trunc; fstat 0",
	"open 0 empty rdwr; read 0; write 0 x; cat empty",
	"creat 0 f 0644; fstat 0; write 0 new; cat f",
	"creat 0 new 0640; fstat 0; read 0",
	"creat 0 d 0644",
	"creat 0 lf 0644; fstat 0; cat f",
	"creat 0 new/ 0644",
	"creat 0 secret 0644",
	"openat 0 f rd; read 0",
	"openat 0 f wr; write 0 x; cat f",
	"openat 0 new wr,creat 0600; fstat 0",
	"openat 0 '' rd",
	"openat 0 .. path,directory; openfd 1 0 nothing rd",
	"openat 0 /dev/null wr; write 0 x",
	"openat 0 d/../../ path,directory",
	"openat2 0 f rd 0 none; read 0",
	"openat2 0 new wr,creat 0640 none; fstat 0",
	"openat2 0 f rd 0640 none",
	"openat2 0 f wr,creat 017777 none",
	"openat2 0 f bad 0 none",
	"openat2 0 f path,trunc 0 none",
	"openat2 0 f rd 0 beneath; read 0",
	"openat2 0 ../x rd 0 beneath",
	"openat2 0 d/../f rd 0 beneath; read 0",
	"openat2 0 /etc/passwd rd 0 beneath",
	"openat2 0 /f rd 0 inroot; read 0",
	"openat2 0 ../../f rd 0 inroot; read 0",
	"openat2 0 lf rd 0 inroot; read 0",
	"openat2 0 d/l rd 0 beneath; read 0",
	"openat2 0 lf rd 0 nosymlinks",
	"openat2 0 ld/a rd 0 nosymlinks",
	"openat2 0 f rd 0 nosymlinks; read 0",
	"openat2 0 f rd 0 xdev; read 0",
	"openat2 0 f rd 0 beneath,inroot",
	"openat2 0 new wr,creat 0600 beneath; stat new",
	"open 0 d rd; openfd 1 0 a rd; read 1; openfd 2 0 b wr; write 2 B; cat d/b",
	"open 0 d rd; openfd 1 0 new wr,creat 0644; write 1 x; list 0",
	"open 0 d path; openfd 1 0 ../f rd; read 1",
	"open 0 d path; openfd 1 0 sub/deep wr; write 1 x; cat d/sub/deep",
	"open 0 f rd; openfd 1 0 a rd",
	"openfd 1 7 a rd",
	"open 0 f rd; reopen 1 0 rd; read 1",
	"open 0 f rd; reopen 1 0 wr; write 1 x; cat f",
	"open 0 f path; reopen 1 0 rdwr; write 1 x; cat f",
	"open 0 f rd; reopen 1 0 rd,onofollow",
	"open 0 d path; reopen 1 0 rd,directory; list 1",
	"open 0 f rd; open 1 f wr; write 1 new; cat f",
	"open 0 f wr; unlink f; write 0 x; fstat 0; reopen 1 0 rd; read 1",
	"open 0 f rd; unlink f; read 0; open 1 f rd",
	"unlink f; open 0 f wr,creat 0600; write 0 again; cat f; getxattr f user.test",
	"unlink d/a; open 0 d rd; list 0; openfd 1 0 a rd; openfd 2 0 a wr,creat,excl 0644; list 0",
};

/* What only a supervisor with more rights than its guest can copy. */
static const char *const unreadable_rows[] = {
	"open 0 wonly wr; write 0 x; fstat 0",
	"open 0 wonly wr,append; write 0 x; fstat 0",
	"open 0 wonly rdwr,creat 0600",
};

static const char *const look_rows[] = {
	"stat f; lstat f; stat lf; lstat lf; stat d; lstat d; stat ld; lstat ld",
	"stat nothing; lstat nothing; stat dangling; lstat dangling; stat loop; lstat loop",
	"stat f/; lstat f/; stat d/; lstat ld/; stat ld/; lstat lf/; stat nothing/",
	"stat ''; lstat ''; stat @; lstat @; stat d/..; stat d/.; stat f/.; stat f/..",
	"stat secret; stat mine0; stat dp; stat dp/in; stat dx/in; stat dr/in; stat dm/root",
	"stat h; stat d/a; stat fifo; stat sock; stat suid; stat holes; stat dt; stat dg",
	"stat d/sub/deep; stat d/nothing/deep; stat f/x; stat loop/x; stat lf/x",
	"fstatat f none; fstatat lf none; fstatat lf nofollow; fstatat ld/ nofollow",
	"fstatat '' none; fstatat '' empty; fstatat f empty; fstatat f badflag",
	"fstatat nothing nofollow; fstatat dangling nofollow; fstatat . none; fstatat .. badflag",
	"statx f none; statx lf none; statx lf nofollow; statx '' empty; statx '' none",
	"statx d none; statx nothing none; statx f badflag; statx h none; statx holes none",
	"open 0 f rd; fstatempty 0; open 1 f wr; fstatempty 1; fstatempty 7",
	"open 0 d rd; fstatempty 0; stat d; open 1 lf path,onofollow; fstatempty 1",
	"access f r; access f w; access f xx; access f none; access x xx; access f badflag",
	"access secret r; access secret w; access readonly w; access wonly r; access wonly w",
	"access mine r,w; access mine0 r; access mine0 none; access mine xx; access all r,w",
	"access d r,w,xx; access dp r; access dp/in r; access dx r; access dx xx; access dx/in r",
	"access dr r; access dr xx; access dr/in none; access dm w; access dt w; access dg w",
	"access nothing none; access dangling none; access loop none; access lf w; access ld w",
	"access fifo w; access sock r; access '' none; access f/ none; access suid xx; access h w",
	"faccessat f r; faccessat secret r; faccessat '' r; faccessat lf w; faccessat dm w",
	"faccessat2 f r none; faccessat2 f w eaccess; faccessat2 secret r eaccess",
	"faccessat2 lf r nofollow; faccessat2 dangling none nofollow; faccessat2 dangling none none",
	"faccessat2 '' r empty; faccessat2 '' w empty,eaccess; faccessat2 f r badflag",
	"faccessat2 lf xx nofollow; faccessat2 mine w eaccess; faccessat2 readonly w eaccess",
	"readlink lf; readlink ld; readlink ll; readlink dangling; readlink loop; readlink d/l",
	"readlink f; readlink d; readlink nothing; readlink fifo; readlink ''; readlink @",
	"readlink lf 0; readlink dangling 3; readlink dangling 7; readlink lf/; readlink ld/",
	"readlinkat lf; readlinkat ld/l; readlinkat f; readlinkat ''; readlinkat nothing",
	"open 0 f rd; fdname 0; open 1 d rd; fdname 1; open 2 f wr; fdname 2; fdname 0",
	"open 0 d path; fdname 0; open 1 d/sub rd; fdname 1; open 2 lf path,onofollow; fdname 2",
	"open 0 @ rd; fdname 0; open 1 .. path; open 2 /dev/null rd; fdname 2",
	"open 0 d rd; list 0; list 0; lseek 0 0; list 0",
	"open 0 d rd; list 0 32; lseek 0 0; list 0 24; lseek 0 0; list 0 8; lseek 0 0; list 0 0",
	"open 0 d rd; listold 0; lseek 0 0; listold 0 32; lseek 0 0; listold 0 8",
	"open 0 @ rd; list 0 64; lseek 0 0; listold 0 64; lseek 0 0; list 0 300",
	"open 0 d rd; open 1 d/new wr,creat 0644; list 0",
	"open 0 d rd; unlink d/a; list 0; lseek 0 0; unlink d/b; unlink d/l; list 0",
	"open 0 de rd; list 0; open 1 de/x wr,creat 0644; lseek 0 0; list 0; stat de",
	"open 0 f rd; list 0; list 7; open 1 d path; list 1",
	"open 0 dr rd; list 0; openfd 1 0 in rd",
	"open 0 dg rd; list 0; unlink dg 0x200; stat dg",
	"statfs f; statfs d; statfs nothing; statfs lf; statfs ''; statfs f/x",
};

static void root_opens(void)
{
	cow_rows(open_rows, TAP_COUNT(open_rows), COW_ROOT);
}

static void a_guest_opens(void)
{
	cow_rows(open_rows, TAP_COUNT(open_rows), COW_GUEST);
}

static void nobody_opens(void)
{
	cow_rows(open_rows, TAP_COUNT(open_rows), COW_NOBODY);
}

static void a_guest_writes_what_it_cannot_read(void)
{
	cow_rows(unreadable_rows, TAP_COUNT(unreadable_rows), COW_GUEST);
}

static void root_looks(void)
{
	cow_rows(look_rows, TAP_COUNT(look_rows), COW_ROOT);
}

static void a_guest_looks(void)
{
	cow_rows(look_rows, TAP_COUNT(look_rows), COW_GUEST);
}

static void nobody_looks(void)
{
	cow_rows(look_rows, TAP_COUNT(look_rows), COW_NOBODY);
}

static void as_it_is(void)
{
	cow_rows(open_rows, TAP_COUNT(open_rows), COW_SHOWN);
	cow_rows(look_rows, TAP_COUNT(look_rows), COW_SHOWN);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(root_opens),   TAP(a_guest_opens),
		TAP(nobody_opens), TAP(a_guest_writes_what_it_cannot_read),
		TAP(root_looks),   TAP(a_guest_looks),
		TAP(nobody_looks), TAP(as_it_is),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
