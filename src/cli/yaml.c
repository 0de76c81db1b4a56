/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/yaml.h"

#include <string.h>
#include <yaml.h>

enum { LINE_WIDTH = -1 }; /* libyaml breaks no line */

/* Each of these takes over its event and returns whether libyaml took it. */
static bool emit(yaml_emitter_t *out, yaml_event_t *event, int made)
{
	return made == 1 && yaml_emitter_emit(out, event) == 1;
}

static bool emit_scalar(yaml_emitter_t *out, const char *text, bool quoted)
{
	yaml_event_t event;

	return emit(out, &event,
		    yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text,
						 (int)strlen(text), !quoted, quoted,
						 quoted ? YAML_DOUBLE_QUOTED_SCALAR_STYLE
							: YAML_PLAIN_SCALAR_STYLE));
}

static bool emit_value(yaml_emitter_t *out, json_t *value);

static bool emit_array(yaml_emitter_t *out, json_t *array)
{
	yaml_event_t event;
	json_t *item;
	size_t i;

	if (!emit(out, &event,
		  yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
						       json_array_size(array) == 0
							       ? YAML_FLOW_SEQUENCE_STYLE
							       : YAML_BLOCK_SEQUENCE_STYLE)))
		return false;
	json_array_foreach(array, i, item) if (!emit_value(out, item)) return false;
	return emit(out, &event, yaml_sequence_end_event_initialize(&event));
}

static bool emit_object(yaml_emitter_t *out, json_t *object)
{
	yaml_event_t event;
	const char *key;
	json_t *item;

	if (!emit(out, &event,
		  yaml_mapping_start_event_initialize(&event, NULL, NULL, 1,
						      json_object_size(object) == 0
							      ? YAML_FLOW_MAPPING_STYLE
							      : YAML_BLOCK_MAPPING_STYLE)))
		return false;
	json_object_foreach(object, key, item) if (!emit_scalar(out, key, true) ||
						   !emit_value(out, item)) return false;
	return emit(out, &event, yaml_mapping_end_event_initialize(&event));
}

/* Numbers, true, false and null are written alike in both. */
static bool emit_value(yaml_emitter_t *out, json_t *value)
{
	char *text;
	bool done;

	if (json_is_array(value))
		return emit_array(out, value);
	if (json_is_object(value))
		return emit_object(out, value);
	if (json_is_string(value))
		return emit_scalar(out, json_string_value(value), true);
	text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
	done = text != NULL && emit_scalar(out, text, false);
	free(text);
	return done;
}

int cx_yaml_write(json_t *value, FILE *to, bool unicode, struct cx_err *err)
{
	yaml_emitter_t out;
	yaml_event_t event;
	bool done;

	if (yaml_emitter_initialize(&out) != 1)
		return cx_fail(err, ENOMEM, "YAML");
	yaml_emitter_set_output_file(&out, to);
	yaml_emitter_set_unicode(&out, unicode);
	yaml_emitter_set_width(&out, LINE_WIDTH);
	done = emit(&out, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING)) &&
	       emit(&out, &event,
		    yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1)) &&
	       emit_value(&out, value) &&
	       emit(&out, &event, yaml_document_end_event_initialize(&event, 1)) &&
	       emit(&out, &event, yaml_stream_end_event_initialize(&event)) &&
	       yaml_emitter_flush(&out) == 1;
	yaml_emitter_delete(&out);
	return done ? 0 : cx_fail(err, EIO, "write the output as YAML");
}
