/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policy/policy.h"
#include "runtime/cgroup_tree.h"

enum { PROGRAM_MAX = 256, ROW_MAX = 6 };

struct program {
	struct bpf_insn at[PROGRAM_MAX];
	unsigned n;
};

static void emit(struct program *program, struct bpf_insn insn)
{
	program->at[program->n++] = insn;
}

static struct bpf_insn load(unsigned reg, size_t field)
{
	return (struct bpf_insn){ .code = BPF_LDX | BPF_MEM | BPF_W,
				  .dst_reg = reg & 15,
				  .src_reg = BPF_REG_1,
				  .off = (int16_t)field };
}

static struct bpf_insn alu(unsigned op, unsigned reg, int imm)
{
	return (struct bpf_insn){ .code = (uint8_t)(BPF_ALU64 | BPF_K | op),
				  .dst_reg = reg & 15,
				  .imm = imm };
}

static struct bpf_insn jump_unless_equal(unsigned reg, int imm, unsigned over)
{
	return (struct bpf_insn){ .code = BPF_JMP | BPF_JNE | BPF_K,
				  .dst_reg = reg & 15,
				  .off = (int16_t)over,
				  .imm = imm };
}

static void emit_return(struct program *program, int verdict)
{
	emit(program, alu(BPF_MOV, BPF_REG_0, verdict));
	emit(program, (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT });
}

/* r2 type, r3 wanted access, r4 major, r5 minor, r0 scratch. A row falls through to the next one.
 */
static void emit_row(struct program *program, const struct cx_device_row *row)
{
	unsigned rest = row->minor >= 0 ? 6 : 5; /* instructions behind the first comparison */

	emit(program, jump_unless_equal(BPF_REG_4, (int)row->major, rest));
	if (row->minor >= 0)
		emit(program, jump_unless_equal(BPF_REG_5, row->minor, 5));
	emit(program, (struct bpf_insn){ .code = BPF_ALU64 | BPF_X | BPF_MOV,
					 .dst_reg = BPF_REG_0,
					 .src_reg = BPF_REG_3 });
	emit(program, alu(BPF_AND, BPF_REG_0, BPF_DEVCG_ACC_MKNOD));
	emit(program, jump_unless_equal(BPF_REG_0, 0, 2));
	emit_return(program, 1);
}

static int build(struct program *program, struct cx_err *err)
{
	const unsigned head = 8;

	if (cx_policy_ndevices * (ROW_MAX + 1) + head + 2 > PROGRAM_MAX)
		return cx_refuse(err, CX_INTERNAL, "too many device rules");
	emit(program, load(BPF_REG_2, offsetof(struct bpf_cgroup_dev_ctx, access_type)));
	emit(program, (struct bpf_insn){ .code = BPF_ALU64 | BPF_X | BPF_MOV,
					 .dst_reg = BPF_REG_3,
					 .src_reg = BPF_REG_2 });
	emit(program, alu(BPF_AND, BPF_REG_2, 0xffff));
	emit(program, alu(BPF_RSH, BPF_REG_3, 16));
	emit(program, load(BPF_REG_4, offsetof(struct bpf_cgroup_dev_ctx, major)));
	emit(program, load(BPF_REG_5, offsetof(struct bpf_cgroup_dev_ctx, minor)));
	emit(program, (struct bpf_insn){ .code = BPF_JMP | BPF_JEQ | BPF_K,
					 .dst_reg = BPF_REG_2,
					 .off = 2,
					 .imm = BPF_DEVCG_DEV_CHAR });
	emit_return(program, 0);
	for (size_t i = 0; i < cx_policy_ndevices; i++)
		emit_row(program, &cx_policy_devices[i]);
	emit_return(program, 0);
	return 0;
}

int cx_cgroup_v2_devices(const struct cx_cgroup_tree *tree, struct cx_err *err)
{
	static const char license[] = "Apache-2.0";
	struct program program = { .n = 0 };
	union bpf_attr load_attr = { .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE };
	union bpf_attr attach_attr = { .attach_type = BPF_CGROUP_DEVICE };
	cx_autofd int fd = -EBADF;

	if (build(&program, err) < 0)
		return -err->errnum;
	load_attr.insns = (uint64_t)(uintptr_t)program.at;
	load_attr.insn_cnt = program.n;
	load_attr.license = (uint64_t)(uintptr_t)license;
	fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load_attr, sizeof load_attr);
	if (fd < 0)
		return cx_fail(err, errno, "load the device filter");
	/* Without BPF_F_ALLOW_MULTI the program replaces the one that an earlier daemon attached.
	 */
	attach_attr.target_fd = (uint32_t)tree->dir;
	attach_attr.attach_bpf_fd = (uint32_t)fd;
	if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attach_attr, sizeof attach_attr) < 0)
		return cx_fail(err, errno, "attach the device filter");
	return 0;
}
