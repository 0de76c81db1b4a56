dnl SPDX-License-Identifier: Apache-2.0
dnl CX_COMPILER_FLAGS: the warnings always; as errors, sanitizers and fuzzing on request.
dnl Sets CX_CFLAGS and CX_LDFLAGS (all programs), AGENT_CFLAGS and AGENT_LDFLAGS (the static agent,
dnl which no sanitizer can be linked into).
AC_DEFUN([CX_TRY_FLAGS], [
  for cx_flag in $2; do
    AC_MSG_CHECKING([whether $CC accepts $cx_flag])
    cx_saved=$CFLAGS; CFLAGS="$CFLAGS -Werror $cx_flag"
    AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
      [AC_MSG_RESULT([yes]); $1="$$1 $cx_flag"], [AC_MSG_RESULT([no])])
    CFLAGS=$cx_saved
  done
])
AC_DEFUN([CX_COMPILER_FLAGS], [
  AC_ARG_ENABLE([werror], [AS_HELP_STRING([--enable-werror], [make warnings errors (for developers and CI)])])
  AC_ARG_ENABLE([fuzz], [AS_HELP_STRING([--enable-fuzz], [build the libFuzzer targets of tests/fuzz (needs clang)])])
  AC_ARG_ENABLE([fault-injection], [AS_HELP_STRING([--enable-fault-injection],
    [daemons that fail and die where tests/faults says so: for tests only])])
  AM_CONDITIONAL([FAULT_INJECTION], [test "$enable_fault_injection" = yes])
  AS_IF([test "$enable_fault_injection" = yes], [CX_FAULT_CPPFLAGS=-DCX_FAULT_INJECTION])
  AC_SUBST([CX_FAULT_CPPFLAGS])
  AC_ARG_WITH([sanitizers], [AS_HELP_STRING([--with-sanitizers=LIST], [build with -fsanitize=LIST])])
  CX_TRY_FLAGS([CX_WARN], [-Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes dnl
    -Wmissing-prototypes -Wold-style-definition -Wpointer-arith -Wcast-qual -Wcast-align=strict dnl
    -Wwrite-strings -Wformat=2 -Wvla -Wundef -Wnull-dereference -Wduplicated-cond dnl
    -Wlogical-op -Wimplicit-fallthrough=5 -Wswitch-enum -Wconversion -Wsign-conversion dnl
    -Wredundant-decls -Wnested-externs -fno-common])
  dnl A variable of make's, so that CI can hold the tree of "./setup" itself to it: make CX_WERROR=-Werror.
  CX_WARN="$CX_WARN \$(CX_WERROR)"
  AS_IF([test "$enable_werror" = yes], [CX_WERROR=-Werror], [CX_WERROR=])
  AC_SUBST([CX_WERROR])
  CX_TRY_FLAGS([CX_HARDEN], [-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong dnl
    -fstack-clash-protection -fcf-protection -ftrivial-auto-var-init=zero])
  AGENT_CFLAGS="-std=c17 $CX_WARN $CX_HARDEN -ffunction-sections -fdata-sections"
  AGENT_LDFLAGS="-static -Wl,--gc-sections -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack"
  AM_CONDITIONAL([SANITIZERS], [test "${with_sanitizers:-no}" != no])
  AS_IF([test "${with_sanitizers:-no}" != no],
    [CX_CFLAGS="-std=c17 $CX_WARN -fsanitize=$with_sanitizers -fno-omit-frame-pointer -fno-sanitize-recover=all"
     CX_LDFLAGS="-fsanitize=$with_sanitizers"],
    [CX_CFLAGS="-std=c17 $CX_WARN $CX_HARDEN -fPIE"
     CX_LDFLAGS="-pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--as-needed"])
  dnl The libraries tell the fuzzer which way they went; without that it guesses blindly.
  AS_IF([test "$enable_fuzz" = yes], [CX_CFLAGS="$CX_CFLAGS -fsanitize=fuzzer-no-link"])
  AM_CONDITIONAL([FUZZ], [test "$enable_fuzz" = yes])
  AC_SUBST([CX_CFLAGS])
  AC_SUBST([CX_LDFLAGS])
  AC_SUBST([AGENT_CFLAGS])
  AC_SUBST([AGENT_LDFLAGS])
])
dnl CX_ARCHIVES(VARIABLE, LIBRARIES): they become a part of the program where there are archives of them.
AC_DEFUN([CX_ARCHIVES], [
  AC_MSG_CHECKING([for archives of $2])
  cx_saved=$LIBS; LIBS="-Wl,-Bstatic $2 -Wl,-Bdynamic $LIBS"
  AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
    [AC_MSG_RESULT([yes]); $1="-Wl,-Bstatic $2 -Wl,-Bdynamic"], [AC_MSG_RESULT([no]); $1="$2"])
  LIBS=$cx_saved
  AC_SUBST([$1])
])
