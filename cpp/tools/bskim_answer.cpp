// bskim-answer: one question, one passage, and which parts of it were skimmed; or many questions, as lines of JSON.
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>

#include "answer_json.hpp"
#include "answer_text.hpp"
#include "bskim/bskim.hpp"

namespace {

constexpr const char* HELP =
    R"(Usage: bskim-answer [BUNDLE] --question TEXT (--context TEXT | --file FILE) [OPTIONS]
       bskim-answer [BUNDLE] --jsonl [OPTIONS] < questions.jsonl

Answers a question from BUNDLE (default: engines/). Prints the passage; what was skimmed is in brackets, each followed by
the layer after which it was dropped.

  --question TEXT             The question.
  --context TEXT              The passage.
  --file FILE                 A text file with the passage; - for standard input.
  --jsonl                     Read {"question", "context" or "passages", options ...} from standard input, a line each,
                              and write a line of answers for each.
  --top-k N                   Answers, best first.  [default: 1]
  --handle-impossible-answer  Let the passage have no answer.
  --no-align-to-words         Do not widen answers to whole words.
  --max-seq-len N, --doc-stride N, --max-answer-len N, --max-windows N, --max-blocks N, --batch-size N
                              See docs/cpp.md.  [default: the bundle's]
  --window-scale NAME         null, logits or window.  [default: the bundle's]
  --threshold NUMBER          For every layer, instead of the bundle's thresholds.
  --backend NAME              onnxruntime or openvino.  [default: what fits the bundle and this machine best]
  --precision NAME            That the backend computes in: fp32 or bf16.  [default: fp32]
  --threads N                 Threads for one operator.  [default: the cores that this process may use]
  --json [FILE]               Write the figures as JSON; to standard output if FILE is - or left out, and the rest to
                              standard error.
  -q, --quiet                 No notes.
  --version, -h, --help
)";

class UsageError : public std::exception {
public:
  explicit UsageError(std::string what) : what_(std::move(what)) {}
  const char* what() const noexcept override { return what_.c_str(); }

private:
  std::string what_;
};

struct Arguments {
  std::string bundle = "engines";
  std::optional<std::string> question, context, file, json;
  bool jsonl = false, quiet = false;
  bskim::PipelineOptions opening;
  bskim::AskOptions asking;
};

int to_int(const std::string& name, const std::string& text) {
  std::size_t end = 0;
  try {
    const int value = std::stoi(text, &end);
    if (end == text.size()) return value;
  } catch (const std::exception&) {
  }
  throw UsageError("Invalid value for '" + name + "': '" + text + "' is not a valid whole number.");
}

double to_number(const std::string& name, const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0') throw UsageError("Invalid value for '" + name + "': '" + text + "' is no number.");
  return value;
}

// An option that has a value. Returns whether there is one of that name.
bool read_value(Arguments& to, const std::string& name, const std::string& value) {
  bskim::AskOptions& ask = to.asking;
  if (name == "--question")
    to.question = value;
  else if (name == "--context")
    to.context = value;
  else if (name == "--file")
    to.file = value;
  else if (name == "--top-k")
    ask.top_k = to_int(name, value);
  else if (name == "--max-seq-len")
    ask.max_seq_len = to_int(name, value);
  else if (name == "--doc-stride")
    ask.doc_stride = to_int(name, value);
  else if (name == "--max-answer-len")
    ask.max_answer_len = to_int(name, value);
  else if (name == "--max-windows")
    ask.max_windows = to_int(name, value);
  else if (name == "--max-blocks")
    ask.max_blocks = to_int(name, value);
  else if (name == "--batch-size")
    ask.batch_size = to_int(name, value);
  else if (name == "--window-scale")
    ask.window_scale = value;
  else if (name == "--threshold")
    to.opening.threshold = to_number(name, value);
  else if (name == "--backend")
    to.opening.backend = value;
  else if (name == "--precision")
    to.opening.precision = value;
  else if (name == "--threads")
    to.opening.threads = to_int(name, value);
  else
    return false;
  return true;
}

bool read_flag(Arguments& to, const std::string& name) {
  if (name == "--jsonl")
    to.jsonl = true;
  else if (name == "-q" || name == "--quiet")
    to.quiet = true;
  else if (name == "--handle-impossible-answer")
    to.asking.handle_impossible_answer = true;
  else if (name == "--align-to-words")
    to.asking.align_to_words = true;
  else if (name == "--no-align-to-words")
    to.asking.align_to_words = false;
  else
    return false;
  return true;
}

Arguments parse(int count, char** given) {
  Arguments to;
  bool named = false;
  for (int i = 1; i < count; ++i) {
    std::string name = given[i];
    if (name.empty() || name[0] != '-') {
      if (named) throw UsageError("Got unexpected extra argument (" + name + ")");
      to.bundle = name;
      named = true;
      continue;
    }
    if (read_flag(to, name)) continue;
    std::optional<std::string> value;
    if (const std::size_t equals = name.find('='); equals != std::string::npos) {
      value = name.substr(equals + 1);
      name.resize(equals);
    } else if (i + 1 < count && (name != "--json" || given[i + 1][0] != '-' || given[i + 1] == std::string("-"))) {
      value = given[++i];
    }
    if (name == "--json") {
      to.json = value.value_or("-");
    } else if (!value) {
      throw UsageError("Option '" + name + "' requires an argument.");
    } else if (!read_value(to, name, *value)) {
      throw UsageError("No such option: " + name);
    }
  }
  return to;
}

std::string read_passage(const Arguments& arguments) {
  if (arguments.context && !arguments.file) return *arguments.context;
  if (arguments.context || !arguments.file) {
    throw bskim::InputError("Pass the passage with --context, or its file with --file.");
  }
  if (*arguments.file == "-") return {std::istreambuf_iterator<char>(std::cin), {}};
  std::ifstream stream(*arguments.file, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(stream), {}};
  if (!stream.is_open() || stream.bad()) {
    throw bskim::InputError("'" + *arguments.file + "' cannot be read as UTF-8 text.");
  }
  return text;
}

std::size_t terminal_width() {
  winsize size{};
  if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 100;
}

void answer_lines(const bskim::Pipeline& pipeline, const bskim::AskOptions& options) {
  for (std::string line; std::getline(std::cin, line);) {
    if (line.find_first_not_of(" \t\r") != std::string::npos)
      std::cout << answer_line(pipeline, line, options) << std::flush;
  }
}

void answer_one(const bskim::Pipeline& pipeline, const Arguments& arguments, const std::string& context) {
  bskim::AskOptions options = arguments.asking;
  options.return_skim = true;
  const bskim::Answers found = pipeline.ask(*arguments.question, context, options);
  const bool json_to_output = arguments.json == "-";
  (json_to_output ? std::cerr : std::cout) << show(*arguments.question, context, found, terminal_width());
  const std::string written = report(*arguments.question, found);
  if (json_to_output) std::cout << written;
  if (!arguments.json || json_to_output) return;
  std::ofstream file(*arguments.json, std::ios::binary);
  if (!(file << written << std::flush)) throw bskim::InputError("'" + *arguments.json + "' cannot be written.");
}

int run(Arguments arguments) {
  if (!arguments.jsonl && !arguments.question) throw UsageError("Missing option '--question'.");
  const std::string context = arguments.jsonl ? "" : read_passage(arguments);
  if (arguments.opening.precision != "fp32" && arguments.opening.backend.empty()) {
    arguments.opening.backend = "onnxruntime";
  }
  const bskim::Pipeline pipeline(arguments.bundle, arguments.opening);
  const std::string reason = pipeline.backend_reason();
  if (!arguments.quiet && reason != "it was asked for" && reason != "the bundle holds no engines for a GPU") {
    std::cerr << "Note: Runs on " << pipeline.backend() << ": " << reason << ".\n";
  }
  if (arguments.jsonl) {
    answer_lines(pipeline, arguments.asking);
  } else {
    answer_one(pipeline, arguments, context);
  }
  return std::cout.flush() ? 0 : 1;
}

}  // namespace

int main(int count, char** given) {
  std::ios::sync_with_stdio(false);
  for (int i = 1; i < count; ++i) {
    const std::string one = given[i];
    if (one == "-h" || one == "--help") return std::cout << HELP, 0;
    if (one == "--version") return std::cout << "bskim-answer, version " << bskim::version() << "\n", 0;
  }
  try {
    return run(parse(count, given));
  } catch (const UsageError& error) {
    std::cerr << "Usage: bskim-answer [OPTIONS] [BUNDLE]\nTry 'bskim-answer -h' for help.\n\nError: " << error.what()
              << "\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "Error: " << error.what() << "\n";
    return 1;
  }
}
