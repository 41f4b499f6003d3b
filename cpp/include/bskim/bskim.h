/* libbskim for C99, and for all that speaks C: question answering from a bundle of bskim-export.
 *
 *   bskim_error error;
 *   bskim_pipeline* qa = NULL;
 *   bskim_answers* found = NULL;
 *   if (bskim_open("engines/", NULL, &qa, &error)) fail(error.text);
 *   if (bskim_ask(qa, "Who wrote it?", BSKIM_TERMINATED, "Ada wrote it.", BSKIM_TERMINATED, NULL, &found, &error)) ...
 *   puts(found->answers[0].text);
 *   bskim_free_answers(found);
 *   bskim_close(qa);
 *
 * No exception crosses it. A pipeline may be used from several threads at once.
 *
 * Options: zeros are the defaults, so `bskim_ask_options options = {.size = sizeof options};` is all that it takes.
 * `size` lets a newer library know what an older caller has; an older library refuses fields that it does not know,
 * unless they are 0. Errors: each call writes its own into what it is given. There is no state of a thread or of a
 * pipeline that could be read too late, and opening, which has no pipeline yet, is no exception.
 *
 * Texts are UTF-8. The size of one is its bytes, or BSKIM_TERMINATED; 0 is an empty text. A text that is NULL is empty.
 * What a call is given is read during the call only. What it gives is NULL after an error.
 */
#ifndef BSKIM_H
#define BSKIM_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define BSKIM_C_API __attribute__((visibility("default")))
#else
#define BSKIM_C_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Changes when a struct of results or the meaning of a function does. Compare with bskim_abi_version(). */
#define BSKIM_ABI_VERSION 1

/* Instead of the size of a text: it ends with a 0. */
#define BSKIM_TERMINATED ((size_t)-1)

/* Instead of the number of a passage: there is none. */
#define BSKIM_NONE ((size_t)-1)

typedef enum {
  BSKIM_OK = 0,
  BSKIM_INPUT_ERROR = 1,    /* an argument cannot be used */
  BSKIM_BUNDLE_ERROR = 2,   /* the bundle is missing, damaged or of another version, or an engine fails */
  BSKIM_NO_MEMORY = 3,      /* there is not enough memory for this input */
  BSKIM_INTERNAL_ERROR = 4, /* what was not foreseen */
  BSKIM_FORK_ERROR = 5      /* the pipeline was opened before a fork, and its backend cannot run in the child */
} bskim_status;

/* What went wrong, in UTF-8; cut if it is longer. Empty after BSKIM_OK. */
typedef struct {
  char text[1024];
} bskim_error;

typedef struct bskim_pipeline bskim_pipeline;

typedef struct {
  size_t size;           /* sizeof(bskim_open_options) */
  const char* backend;   /* "onnxruntime" or "openvino"; NULL: what fits the bundle and this machine best */
  const char* precision; /* NULL: "fp32" */
  int32_t threads;       /* for one operator; 0: the cores that this process may use */
  int32_t batch_size;    /* windows that run together; 0: 8 */
  int32_t has_threshold; /* 0: the bundle's own thresholds */
  double threshold;      /* 0 (the dense model) to 1, for every layer */
} bskim_open_options;

/* See AskOptions in bskim.hpp. A number that is 0 stands for the default. */
typedef struct {
  size_t size; /* sizeof(bskim_ask_options) */
  int32_t top_k;
  int32_t max_seq_len;
  int32_t doc_stride;
  int32_t has_doc_stride; /* 0: the default; a stride may be 0 */
  int32_t max_answer_len;
  int32_t batch_size;
  int32_t max_windows;
  int32_t max_blocks;
  int32_t handle_impossible_answer;
  int32_t no_align_to_words;
  int32_t return_skim;
  const char* window_scale; /* "null", "logits" or "window" */
} bskim_ask_options;

typedef struct {
  const char* text;
  size_t text_size;
  const char* title; /* read before the text; NULL: none */
  size_t title_size;
} bskim_passage;

typedef struct {
  double score;
  size_t start, end;           /* Unicode code points of the context or passage */
  size_t start_byte, end_byte; /* the same in bytes of its UTF-8 */
  size_t passage;              /* which one it is from; BSKIM_NONE of a context, and for no answer */
  const char* text;            /* ends with a 0; empty: no answer */
  size_t text_size;
} bskim_answer;

/* Characters [start, end) that were dropped after a layer. */
typedef struct {
  size_t start, end;
  size_t passage;
  int32_t layer;
} bskim_skipped;

/* The answers of one question, best first; at least one. */
typedef struct {
  const bskim_answer* answers;
  size_t count;
  const bskim_skipped* skipped;
  size_t skipped_count;
  size_t windows;
  double kept_share;
} bskim_answers;

BSKIM_C_API uint32_t bskim_abi_version(void);
BSKIM_C_API const char* bskim_version(void);

/* Open a bundle. `options` and `error` may be NULL. */
BSKIM_C_API bskim_status bskim_open(const char* bundle, const bskim_open_options* options, bskim_pipeline** pipeline,
                                    bskim_error* error);

/* Let go of it, when no call runs any more. NULL is fine. */
BSKIM_C_API void bskim_close(bskim_pipeline* pipeline);

/* Ask a question of one context. `options` and `error` may be NULL, here and below. */
BSKIM_C_API bskim_status bskim_ask(const bskim_pipeline* pipeline, const char* question, size_t question_size,
                                   const char* context, size_t context_size, const bskim_ask_options* options,
                                   bskim_answers** answers, bskim_error* error);

/* Ask a question of several passages, answered jointly. */
BSKIM_C_API bskim_status bskim_ask_passages(const bskim_pipeline* pipeline, const char* question, size_t question_size,
                                            const bskim_passage* passages, size_t count,
                                            const bskim_ask_options* options, bskim_answers** answers,
                                            bskim_error* error);

/* NULL is fine. */
BSKIM_C_API void bskim_free_answers(bskim_answers* answers);

#ifdef __cplusplus
}
#endif

#endif
