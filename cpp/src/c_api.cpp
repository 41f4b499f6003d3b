// bskim.h: C++ inside, C outside. Nothing throws across it.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bskim/bskim.h"
#include "bskim/bskim.hpp"
#include "errors.hpp"

struct bskim_pipeline {
  bskim::Pipeline pipeline;
};

namespace {

constexpr const char* NO_MEMORY = "There is not enough memory for this input. Make it smaller, or lower batch_size.";

// Options are never larger. A size beyond it was not set, and what is behind them may not be read.
constexpr std::size_t LARGEST_OPTIONS = 4096;

// Padding at the end may hold anything. A field that is added there would read it from an older caller.
static_assert(sizeof(bskim_open_options) == offsetof(bskim_open_options, threshold) + sizeof(double));
static_assert(sizeof(bskim_ask_options) == offsetof(bskim_ask_options, window_scale) + sizeof(const char*));

// Answers as C sees them, and what they point to.
struct Held : bskim_answers {
  bskim::Answers own;
  std::vector<bskim_answer> answers;
  std::vector<bskim_skipped> skipped;
};

void write_error(bskim_error* error, std::string_view text) noexcept {
  if (error == nullptr) return;
  std::size_t size = std::min(text.size(), sizeof error->text - 1);
  // Not in the middle of a character.
  while (size < text.size() && size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;
  text.copy(error->text, size);
  error->text[size] = '\0';
}

template <typename Function>
bskim_status guarded(bskim_error* error, Function function) noexcept {
  try {
    write_error(error, "");
    function();
    return BSKIM_OK;
  } catch (const bskim::InputError& caught) {
    write_error(error, caught.what());
    return BSKIM_INPUT_ERROR;
  } catch (const bskim::BundleError& caught) {
    write_error(error, caught.what());
    return BSKIM_BUNDLE_ERROR;
  } catch (const bskim::ForkError& caught) {
    write_error(error, caught.what());
    return BSKIM_FORK_ERROR;
  } catch (const std::bad_alloc&) {
    write_error(error, NO_MEMORY);
    return BSKIM_NO_MEMORY;
  } catch (const std::length_error&) {  // more than any container can hold
    write_error(error, NO_MEMORY);
    return BSKIM_NO_MEMORY;
  } catch (const std::exception& caught) {
    write_error(error, caught.what());
    return BSKIM_INTERNAL_ERROR;
  } catch (...) {
    write_error(error, "An exception of unknown type.");
    return BSKIM_INTERNAL_ERROR;
  }
}

void require(bool holds, const char* what) {
  if (!holds) throw bskim::InputError(what);
}

std::string_view view(const char* text, std::size_t size) {
  if (text == nullptr) {
    require(size == 0 || size == BSKIM_TERMINATED, "A text is NULL, but its size is not 0.");
    return {};
  }
  if (size == BSKIM_TERMINATED) return text;
  require(size <= PTRDIFF_MAX, "The size of a text is that of a negative number.");
  return {text, size};
}

// Options of a caller that is older, or newer than this library: what it does not know must be 0.
template <typename Options>
Options read_options(const Options* given) {
  Options options;
  std::memset(&options, 0, sizeof options);
  if (given == nullptr) return options;
  // A size that is no multiple would cut a pointer in two.
  require(given->size >= sizeof given->size && given->size <= LARGEST_OPTIONS && given->size % alignof(Options) == 0,
          "The options have no valid size: set it to sizeof of their type.");
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  for (std::size_t i = sizeof options; i < given->size; ++i) {
    require(bytes[i] == 0, "The options have a field that this version of libbskim does not know.");
  }
  std::memcpy(&options, given, std::min(sizeof options, given->size));
  return options;
}

std::optional<int> unless_zero(std::int32_t value) {
  return value == 0 ? std::nullopt : std::optional<int>(value);
}

bskim::PipelineOptions open_options(const bskim_open_options* given) {
  const bskim_open_options c = read_options(given);
  bskim::PipelineOptions options;
  if (c.backend != nullptr) options.backend = c.backend;
  if (c.precision != nullptr) options.precision = c.precision;
  options.threads = c.threads;
  if (c.batch_size != 0) options.batch_size = c.batch_size;
  if (c.has_threshold != 0) options.threshold = c.threshold;
  return options;
}

bskim::AskOptions ask_options(const bskim_ask_options* given) {
  const bskim_ask_options c = read_options(given);
  bskim::AskOptions options;
  options.top_k = unless_zero(c.top_k).value_or(options.top_k);
  options.max_seq_len = unless_zero(c.max_seq_len);
  if (c.has_doc_stride != 0) options.doc_stride = c.doc_stride;
  options.max_answer_len = unless_zero(c.max_answer_len);
  options.batch_size = unless_zero(c.batch_size);
  options.max_windows = unless_zero(c.max_windows);
  options.max_blocks = unless_zero(c.max_blocks);
  options.handle_impossible_answer = c.handle_impossible_answer != 0;
  options.align_to_words = c.no_align_to_words == 0;
  options.return_skim = c.return_skim != 0;
  if (c.window_scale != nullptr) options.window_scale = c.window_scale;
  return options;
}

bskim_answers* give(bskim::Answers own) {
  auto held = std::make_unique<Held>();
  held->own = std::move(own);
  for (const bskim::Answer& one : held->own.answers) {
    held->answers.push_back({one.score, one.start, one.end, one.start_byte, one.end_byte,
                             one.passage.value_or(BSKIM_NONE), one.text.c_str(), one.text.size()});
  }
  for (const bskim::Skipped& one : held->own.skipped) {
    held->skipped.push_back({one.start, one.end, one.passage.value_or(BSKIM_NONE), one.layer});
  }
  static_cast<bskim_answers&>(*held) = {held->answers.data(), held->answers.size(), held->skipped.data(),
                                        held->skipped.size(), held->own.windows,    held->own.kept_share};
  return held.release();
}

}  // namespace

std::uint32_t bskim_abi_version(void) {
  return BSKIM_ABI_VERSION;
}

const char* bskim_version(void) {
  return bskim::version();
}

bskim_status bskim_open(const char* bundle, const bskim_open_options* options, bskim_pipeline** pipeline,
                        bskim_error* error) {
  return guarded(error, [&] {
    if (pipeline != nullptr) *pipeline = nullptr;
    require(bundle != nullptr && pipeline != nullptr, "`bundle` and `pipeline` must not be NULL.");
    *pipeline = new bskim_pipeline{bskim::Pipeline(bundle, open_options(options))};
  });
}

void bskim_close(bskim_pipeline* pipeline) {
  delete pipeline;
}

bskim_status bskim_ask(const bskim_pipeline* pipeline, const char* question, size_t question_size, const char* context,
                       size_t context_size, const bskim_ask_options* options, bskim_answers** answers,
                       bskim_error* error) {
  return guarded(error, [&] {
    if (answers != nullptr) *answers = nullptr;
    require(pipeline != nullptr && answers != nullptr, "`pipeline` and `answers` must not be NULL.");
    const auto own = ask_options(options);
    *answers = give(pipeline->pipeline.ask(view(question, question_size), view(context, context_size), own));
  });
}

bskim_status bskim_ask_passages(const bskim_pipeline* pipeline, const char* question, size_t question_size,
                                const bskim_passage* passages, size_t count, const bskim_ask_options* options,
                                bskim_answers** answers, bskim_error* error) {
  return guarded(error, [&] {
    if (answers != nullptr) *answers = nullptr;
    require(pipeline != nullptr && answers != nullptr, "`pipeline` and `answers` must not be NULL.");
    require(passages != nullptr || count == 0, "`passages` must not be NULL.");
    std::vector<bskim::Passage> read(count);
    for (std::size_t i = 0; i < count; ++i) {
      read[i].text = view(passages[i].text, passages[i].text_size);
      read[i].title = view(passages[i].title, passages[i].title_size);
    }
    *answers = give(pipeline->pipeline.ask(view(question, question_size), read, ask_options(options)));
  });
}

void bskim_free_answers(bskim_answers* answers) {
  delete static_cast<Held*>(answers);
}
