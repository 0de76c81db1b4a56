/* SPDX-License-Identifier: Apache-2.0 */
#include "image/tree.h"

#include "entry_text.h"

static struct cx_tree *tree;
static struct cx_buf text;
static struct cx_err err;

static void begin(void)
{
	tree = NULL;
	text = (struct cx_buf){ .max = 4096 };
	err = (struct cx_err){ 0 };
}

static void end(void)
{
	cx_tree_free(tree);
	cx_buf_free(&text);
}

/* "d path", "f path", "l path", "w path", "b path" (barred), "o path", "h path=target". */
static int add(const char *op, size_t len)
{
	const char *equals = memchr(op, '=', len);
	size_t path = equals != NULL ? (size_t)(equals - op) - 2 : len - 2;
	struct cx_entry e = { .mode = S_IFREG | 0644,
			      .path = { op + 2, path },
			      .target = { "", 0 } };
	struct cx_inode *file;

	if (op[0] == 'd' || op[0] == 'o')
		e.mode = S_IFDIR | 0700;
	if (op[0] == 'o')
		e.flags = CX_ENTRY_OPAQUE;
	if (op[0] == 'w')
		e.flags = CX_ENTRY_WHITEOUT;
	if (op[0] == 'b')
		e.flags = CX_ENTRY_BARRED;
	if (op[0] == 'l') {
		e.mode = S_IFLNK | 0777;
		e.target = bytes_of("d");
	}
	if (equals != NULL) {
		e.flags = CX_ENTRY_HARDLINK;
		e.target = (struct cx_bytes){ equals + 1, len - path - 3 };
	}
	if (cx_tree_add(tree, &e, &file, &err) < 0)
		return -err.errnum;
	ck_assert_int_eq(file != NULL, op[0] == 'f' || op[0] == 'l');
	return 0;
}

static int add_all(const char *ops)
{
	while (*ops != '\0') {
		size_t n = strcspn(ops, ";");

		if (add(ops, n) < 0)
			return -err.errnum;
		ops += n + (ops[n] == ';');
	}
	return 0;
}

/* Every name in order: the letter of its type, '!' when opaque, the path, its number of links. */
static void list(struct cx_inode *dir, const char *above)
{
	struct cx_name **names;

	ck_assert_int_eq(cx_tree_sorted(tree, dir, &names, &err), 0);
	for (uint32_t i = 0; i < dir->nchildren; i++) {
		struct cx_inode *inode = names[i]->inode;
		char path[512], line[600];
		int n;

		(void)snprintf(path, sizeof path, "%s%.*s", above, (int)names[i]->name.len,
			       names[i]->name.p);
		n = snprintf(line, sizeof line, "%c%s%s %u;",
			     S_ISDIR(inode->mode)   ? 'd'
			     : S_ISLNK(inode->mode) ? 'l'
			     : S_ISCHR(inode->mode) ? 'w'
						    : 'f',
			     inode->opaque ? "!" : "", path, inode->nlink);
		add_text(&text, line, (size_t)n);
		if (!S_ISDIR(inode->mode))
			continue;
		ck_assert_ptr_eq(inode->parent, dir);
		(void)snprintf(line, sizeof line, "%s/", path);
		list(inode, line);
	}
}

static const struct {
	const char *why, *ops, *want; /* NULL: refused */
} rows[] = {
	{ "a file", "f a", "fa 1;" },
	{ "parents are made", "f a/b/c", "da 3;da/b 2;fa/b/c 1;" },
	{ "order of bytes", "f b;f a-;f a;f \xff;f B", "fB 1;fa 1;fa- 1;fb 1;f\xff 1;" },
	{ "the last one counts", "l a;f a", "fa 1;" },
	{ "a file over a directory", "f a/b;f a", "fa 1;" },
	{ "a directory over a directory keeps", "f a/b;d a", "da 2;fa/b 1;" },
	{ "a directory over a file", "f a;d a;f a/b", "da 2;fa/b 1;" },
	{ "nothing of a replaced directory", "f a/b;f a;d a", "da 2;" },
	{ "a parent that is a file", "f a;f a/b", NULL },
	{ "a parent that is a link", "d d;l a;f a/b", NULL },
	{ "a parent that links to itself", "l d;f d/d/d", NULL },
	{ "a whiteout", "w a", "wa 1;" },
	{ "a whiteout twice", "w a;w a", "wa 1;" },
	{ "a whiteout in a new directory", "w a/b", "da 2;wa/b 1;" },
	{ "a whiteout over a file of this layer", "f a;w a", "fa 1;" },
	{ "a whiteout over a directory", "f a/b;w a", "d!a 2;fa/b 1;" },
	{ "a file over a whiteout", "w a;f a", "fa 1;" },
	{ "a directory over a whiteout", "w a;d a", "d!a 2;" },
	{ "a parent over a whiteout", "w a;f a/b", "d!a 2;fa/b 1;" },
	{ "opaque", "o a", "d!a 2;" },
	{ "opaque, then the directory", "o a;d a;f a/b", "d!a 2;fa/b 1;" },
	{ "the directory, then opaque", "f a/b;o a", "d!a 2;fa/b 1;" },
	{ "opaque over a file", "f a;o a", "fa 1;" },
	{ "opaque over a link", "l a;o a", "la 1;" },
	{ "opaque over a whiteout", "w a;o a", "d!a 2;" },
	{ "a whiteout below a file", "f a;w a/b", "fa 1;" },
	{ "a whiteout deep below a link", "l a;w a/b/c", "la 1;" },
	{ "a barred name below a link", "l a;b a/b", NULL },
	{ "a hard link", "f a;h b=a", "fa 2;fb 2;" },
	{ "a hard link to a hard link", "f a;h b=a;h c/d=b", "fa 3;fb 3;dc 2;fc/d 3;" },
	{ "a hard link to a symbolic one", "l a;h b=a", "la 2;lb 2;" },
	{ "a hard link twice", "f a;h b=a;h b=a", "fa 2;fb 2;" },
	{ "a hard link to itself", "f a;h a=a", "fa 1;" },
	{ "a hard link whose target is replaced", "f a;h b=a;l a", "la 1;fb 1;" },
	{ "a hard link that is replaced", "f a;h b=a;d b", "fa 1;db 2;" },
	{ "a hard link over a whiteout", "f a;w b;h b=a", "fa 2;fb 2;" },
	{ "a hard link to nothing", "h b=a", NULL },
	{ "a hard link to a later file", "h b=a;f a", NULL },
	{ "a hard link to what is gone", "f a/b;f a;h c=a/b", NULL },
	{ "a hard link to a directory", "d a;h b=a", NULL },
	{ "a hard link to a whiteout", "w a;h b=a", NULL },
	{ "a hard link through a file", "f a;h b=a/c", NULL },
	{ "a hard link through a link", "f d/f;l a;h b=a/f", NULL },
	{ "a hard link lost with its directory", "f a;h d/b=a;f d", "fa 1;fd 1;" },
	{ "a hard link lost deep in a directory", "f a;h d/e/f/b=a;f d/e/g;h d/c=a;l d",
	  "fa 1;ld 1;" },
	{ "a hard link that goes where its target was", "f a/b/c;h a=a/b/c", "fa 1;" },
	{ "the links of a directory in a replaced one", "d a/b/c;f a/b", "da 2;fa/b 1;" },
	{ "a barred name", "b a", "wa 1;" },
	{ "a barred name over a file", "f a;b a", "wa 1;" },
	{ "a barred name over a directory", "f a/b;b a", "wa 1;" },
	{ "a file over a barred name", "b a;f a", "fa 1;" },
	{ "a directory over a barred name", "b a;f a/b", "d!a 2;fa/b 1;" },
	{ "a hard link to a barred name", "b a;f b;h b=a;h c=b", "wa 1;wb 1;wc 1;" },
	{ "a whiteout over a barred name", "b a;w a;h b=a", "wa 1;wb 1;" },
	{ "a hard link below a file", "f a;h a/b=a", NULL },
};

START_TEST(what_becomes_of_it)
{
	ck_assert_int_eq(cx_tree_new(100, &tree, &err), 0);
	if (rows[_i].want == NULL) {
		ck_assert_msg(add_all(rows[_i].ops) < 0, "%s", rows[_i].why);
		ck_assert_uint_eq(err.kind, CX_INVALID);
		return;
	}
	ck_assert_msg(add_all(rows[_i].ops) == 0, "%s: %s", rows[_i].why, err.msg);
	list(cx_tree_root(tree), "");
	add_text(&text, "", 1);
	ck_assert_msg(strcmp(text.p, rows[_i].want) == 0, "%s: %s", rows[_i].why, text.p);
}
END_TEST

/* Only made ones and replaced ones count, and the root is free. */
static const struct {
	uint64_t max;
	const char *ops;
	bool fits;
} limits[] = {
	{ 0, "", true },
	{ 0, "f a", false },
	{ 2, "f a;f b", true },
	{ 2, "f a;f b;f c", false },
	{ 3, "f a/b/c", true },
	{ 2, "f a/b/c", false },
	{ 2, "f a;f a", true },
	{ 2, "f a;f a;f a", false },
	{ 1, "f a;h b=a;h c=a", true },
	{ 1, "d a;d a;o a;w a", true },
};

START_TEST(number_of_inodes)
{
	ck_assert_int_eq(cx_tree_new(limits[_i].max, &tree, &err), 0);
	ck_assert_int_eq(add_all(limits[_i].ops) == 0, limits[_i].fits);
	if (!limits[_i].fits)
		ck_assert_uint_eq(err.kind, CX_LIMIT);
	else
		ck_assert_uint_le(cx_tree_inodes(tree), limits[_i].max + 1);
}
END_TEST

START_TEST(attributes_of_the_last_one)
{
	struct cx_entry e = { .mode = S_IFDIR | 01777,
			      .uid = 7,
			      .gid = 8,
			      .mtime = -9,
			      .path = { "", 0 },
			      .target = { "", 0 } };
	struct cx_inode *root, *file;

	ck_assert_int_eq(cx_tree_new(9, &tree, &err), 0);
	root = cx_tree_root(tree);
	ck_assert_int_eq(cx_tree_add(tree, &e, &file, &err), 0);
	ck_assert_uint_eq(root->mode, S_IFDIR | 01777);
	ck_assert_uint_eq(root->uid, 7);
	ck_assert_uint_eq(root->gid, 8);
	ck_assert_int_eq(root->mtime, -9);
	ck_assert(!root->opaque);
	e.flags = CX_ENTRY_OPAQUE;
	e.uid = 1;
	ck_assert_int_eq(cx_tree_add(tree, &e, &file, &err), 0);
	ck_assert(root->opaque);
	ck_assert_uint_eq(root->uid, 7);
}
END_TEST

/* EROFS' inline form: 12 bytes of header, then entries padded to 4. */
START_TEST(extended_attributes)
{
	static const char want[] = "\0\0\0\0\0\0\0\0\0\0\0\0"
				   "\1\1\2\0axy\0"
				   "\3\1\0\0abc";
	struct cx_entry e = {
		.mode = S_IFREG, .path = { "f", 1 }, .target = { "", 0 }, .nxattrs = 2
	};
	struct cx_inode *file;

	e.xattrs[0] = (struct cx_entry_xattr){ bytes_of("a"), bytes_of("xy") };
	e.xattrs[1] = (struct cx_entry_xattr){ bytes_of("abc"), { NULL, 0 } };
	ck_assert_int_eq(cx_tree_new(9, &tree, &err), 0);
	ck_assert_int_eq(cx_tree_add(tree, &e, &file, &err), 0);
	ck_assert_uint_eq(file->xattrs.len, sizeof want);
	ck_assert_mem_eq(file->xattrs.p, want, sizeof want);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tree");
	TCase *tc = tcase_create("tree");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_loop_test(tc, what_becomes_of_it, 0, CX_LEN(rows));
	tcase_add_loop_test(tc, number_of_inodes, 0, CX_LEN(limits));
	tcase_add_test(tc, attributes_of_the_last_one);
	tcase_add_test(tc, extended_attributes);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
