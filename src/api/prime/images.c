/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "api/gateway.h"
#include "api/images.h"
#include "api/jsonw.h"
#include "api/prime/handlers.h"

enum { ANSWER_MAX = 4 << 20, IMAGES = 100, IMAGES_MAX = 250 };

struct page {
	struct cx_jsonw w;
	const char *search; /* NULL: all */
	uint64_t offset, limit, total;
};

/* "host:5000/a/b:tag" and "a@sha256:..." in two parts. */
static const char *tag_of(const char *name)
{
	const char *slash = strrchr(name, '/'), *begin = slash != NULL ? slash : name;
	const char *at = strchr(begin, '@');

	return at != NULL ? at : strrchr(begin, ':');
}

static void write_name(struct cx_jsonw *w, const char *name)
{
	const char *tag = tag_of(name);

	cx_jsonw_bytes(w, "imageName", name, tag != NULL ? (size_t)(tag - name) : strlen(name));
	cx_jsonw_text(w, "imageTag", tag != NULL ? tag + 1 : "latest");
	cx_jsonw_text(w, "displayRef", name);
	cx_jsonw_text(w, "fullImagePath", name);
}

/* Everybody has all images, so they are nobody's team's. */
static int write_image(const struct cx_image_row *image, void *arg, struct cx_err *err)
{
	struct page *page = arg;
	uint64_t at;

	(void)err;
	if (page->search != NULL && strcasestr(image->name, page->search) == NULL)
		return 0;
	at = page->total++;
	if (at < page->offset || at - page->offset >= page->limit)
		return 0;
	cx_jsonw_object(&page->w, NULL);
	cx_image_present_id(&page->w, "id", image->config_id);
	cx_jsonw_text(&page->w, "artifactType", "VM_SANDBOX");
	write_name(&page->w, image->name);
	cx_jsonw_text(&page->w, "status", "COMPLETED");
	cx_jsonw_text(&page->w, "visibility", "PUBLIC");
	cx_jsonw_text(&page->w, "ownerType", "platform");
	cx_jsonw_int(&page->w, "sizeBytes", image->size_bytes);
	cx_jsonw_time(&page->w, "createdAt", image->created_ms);
	cx_jsonw_time(&page->w, "completedAt", image->created_ms);
	cx_jsonw_end(&page->w);
	return 0;
}

bool cx_prime_asks_images(const struct cx_request *req)
{
	return cx_request_query(req, "offset") != NULL && cx_request_query(req, "limit") != NULL;
}

void cx_prime_images(struct cx_request *req)
{
	struct cx_buf json = { .max = ANSWER_MAX };
	struct page page = { .w = { .out = &json },
			     .search = cx_request_query(req, "search"),
			     .limit = IMAGES };
	struct cx_err err;

	cx_jsonw_object(&page.w, NULL);
	cx_jsonw_array(&page.w, "data");
	if (cx_request_query_u64(req, "offset", 0, INT32_MAX, &page.offset, &err) < 0 ||
	    cx_request_query_u64(req, "limit", 1, IMAGES_MAX, &page.limit, &err) < 0 ||
	    cx_store_image_each(req->gateway->store, write_image, &page, &err) < 0) {
		cx_buf_free(&json);
		cx_request_fail(req, &err);
		return;
	}
	cx_jsonw_end(&page.w);
	cx_jsonw_int(&page.w, "totalCount", (int64_t)page.total);
	cx_jsonw_int(&page.w, "offset", (int64_t)page.offset);
	cx_jsonw_int(&page.w, "limit", (int64_t)page.limit);
	cx_jsonw_end(&page.w);
	cx_request_answer_json(req, &page.w);
}
