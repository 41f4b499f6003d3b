/* Asks one question of one text, in C99.
 *
 *   answer engines/ "Who wrote it?" "Ada Lovelace wrote it in 1843."
 *
 * Offsets are given twice: in characters, which are Unicode code points as in Python, and in bytes of the UTF-8. Cut a
 * `char*` by bytes.
 */
#include <bskim/bskim.h>
#include <stdio.h>

static int fail(bskim_status status, const bskim_error* error) {
  fprintf(stderr, "Error %d: %s\n", (int)status, error->text);
  return 1;
}

static void print_answer(const bskim_answer* one) {
  if (one->text_size == 0) { /* only with handle_impossible_answer */
    printf("no answer, score %.3f\n", one->score);
    return;
  }
  /* `text` ends with a 0, but may have others inside, as the context may. */
  fwrite(one->text, 1, one->text_size, stdout);
  printf("\ncharacters %zu to %zu, bytes %zu to %zu, score %.3f\n", one->start, one->end, one->start_byte,
         one->end_byte, one->score);
}

static int ask(const bskim_pipeline* pipeline, const char* question, const char* context) {
  bskim_answers* found = NULL;
  bskim_error error;
  bskim_ask_options options = {.size = sizeof options}; /* all others are 0: the defaults */
  const bskim_status status =
      bskim_ask(pipeline, question, BSKIM_TERMINATED, context, BSKIM_TERMINATED, &options, &found, &error);
  if (status != BSKIM_OK) return fail(status, &error);
  for (size_t i = 0; i < found->count; ++i) print_answer(&found->answers[i]);
  bskim_free_answers(found);
  return 0;
}

int main(int count, char** given) {
  if (count != 4) {
    fprintf(stderr, "usage: %s BUNDLE QUESTION CONTEXT\n", given[0]);
    return 2;
  }
  /* The header that this was compiled with and the library that was found must speak of the same structs. */
  if (bskim_abi_version() != BSKIM_ABI_VERSION) {
    fprintf(stderr, "libbskim %s has another interface than this program.\n", bskim_version());
    return 1;
  }
  bskim_pipeline* pipeline = NULL;
  bskim_error error;
  const bskim_status status = bskim_open(given[1], NULL, &pipeline, &error);
  if (status != BSKIM_OK) return fail(status, &error);
  const int result = ask(pipeline, given[2], given[3]);
  bskim_close(pipeline);
  return result;
}
