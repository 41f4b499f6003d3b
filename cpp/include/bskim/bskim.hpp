// libbskim: extractive question answering from a bundle of bskim-export, for C++17.
//
//   bskim::Pipeline qa("engines/");
//   auto answer = qa.ask("Who wrote it?", "It was written by Ada Lovelace in 1843.");
//   answer.text;   // "Ada Lovelace"
//
// Options, defaults, scores and error texts are those of bskim_export.QAPipeline. A Pipeline is safe to use from
// several threads. All strings are UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#if defined(__GNUC__)
#define BSKIM_API __attribute__((visibility("default")))
#else
#define BSKIM_API
#endif

namespace bskim {

// What the library throws.
class BSKIM_API Error : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

// An argument cannot be used.
class BSKIM_API InputError : public Error {
public:
  using Error::Error;
};

// A bundle is missing, incomplete, damaged or of another version, or an engine refuses it.
class BSKIM_API BundleError : public Error {
public:
  using Error::Error;
};

// How a bundle is opened; see QAPipeline.
struct BSKIM_API PipelineOptions {
  std::string backend;              // "onnxruntime" or "openvino"; empty: what fits the bundle and this machine best
  std::string precision = "fp32";   // that the backend computes in
  int threads = 0;                  // for one operator; 0: the cores that this process may use
  int batch_size = 8;               // windows that run together; answers do not depend on it
  std::optional<double> threshold;  // 0 (the dense model) to 1, for every layer; none: the bundle's own
};

// How questions are asked; see QAPipeline.run. None stands for the bundle's default.
struct BSKIM_API AskOptions {
  int top_k = 1;
  std::optional<int> doc_stride, max_answer_len, max_seq_len, batch_size, max_windows, max_blocks;
  bool handle_impossible_answer = false;
  bool align_to_words = true;
  bool return_skim = false;
  std::optional<std::string> window_scale;  // "null", "logits" or "window"
};

// Text that a retriever found. A title is read before the text; no answer is from there.
struct BSKIM_API Passage {
  std::string text;
  std::string title;
};

// Characters [start, end) of the context that were dropped, and after which layer, from 0.
struct BSKIM_API Skipped {
  std::size_t start, end;
  int layer;
  std::optional<std::size_t> passage;
};

struct BSKIM_API Answer {
  double score = 0;                          // 0 to 1, over the whole document
  std::size_t start = 0, end = 0;            // Unicode code points of the context or of the passage, as in Python
  std::size_t start_byte = 0, end_byte = 0;  // the same in bytes of its UTF-8
  std::string text;                          // empty: no answer
  std::optional<std::size_t> passage;        // which one it is from, of a question asked of passages
};

// The answers of one question, best first.
struct BSKIM_API Answers {
  std::vector<Answer> answers;   // at least one
  std::vector<Skipped> skipped;  // with return_skim
  std::size_t windows = 0;
  double kept_share = 1;  // of the work of all layers on passage blocks; 1 is the dense model
};

struct BSKIM_API Question {
  std::string question, context;
};

class BSKIM_API Pipeline {
public:
  // Open a bundle. Throws BundleError or InputError.
  explicit Pipeline(const std::string& bundle, const PipelineOptions& options = {});
  ~Pipeline();
  Pipeline(Pipeline&&) noexcept;
  Pipeline& operator=(Pipeline&&) noexcept;

  // The best answer from one context.
  Answer ask(std::string_view question, std::string_view context) const;
  // The same with options: `top_k` answers, and what was skipped.
  Answers ask(std::string_view question, std::string_view context, const AskOptions& options) const;
  // Answered jointly from all passages.
  Answers ask(std::string_view question, const std::vector<Passage>& passages, const AskOptions& options = {}) const;
  // Many questions, whose windows share batches; in order.
  std::vector<Answers> ask(const std::vector<Question>& questions, const AskOptions& options = {}) const;

  std::string backend() const;         // its name
  std::string backend_reason() const;  // why it is that one

private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

BSKIM_API const char* version();

}  // namespace bskim
