#include "answer_json.hpp"

#include <limits>
#include <nlohmann/json.hpp>

using Json = nlohmann::ordered_json;

namespace {

const char* kind_of(const Json& value) {
  if (value.is_string()) return "str";
  if (value.is_boolean()) return "bool";
  if (value.is_number_float()) return "float";
  if (value.is_number()) return "int";
  if (value.is_array()) return "list";
  return value.is_object() ? "dict" : "NoneType";
}

int read_count(const std::string& name, const Json& value) {
  if (!value.is_number_integer()) throw bskim::InputError(name + " must be a whole number, got " + value.dump() + ".");
  if (value > std::numeric_limits<int>::max()) {
    throw bskim::InputError(name + " is " + value.dump() + "; no more than 2147483648 makes sense.");
  }
  return value < std::numeric_limits<int>::min() ? std::numeric_limits<int>::min() : value.get<int>();
}

bool read_flag(const std::string& name, const Json& value) {
  if (!value.is_boolean()) throw bskim::InputError(name + " must be True or False, got " + value.dump() + ".");
  return value.get<bool>();
}

std::string read_text(const std::string& name, const Json& value) {
  if (!value.is_string()) throw bskim::InputError("`" + name + "` must be a string, got " + kind_of(value) + ".");
  return value.get<std::string>();
}

void read_option(bskim::AskOptions& options, const std::string& name, const Json& value) {
  if (value.is_null()) return;  // the default
  if (name == "top_k") {
    options.top_k = read_count(name, value);
  } else if (name == "doc_stride") {
    options.doc_stride = read_count(name, value);
  } else if (name == "max_answer_len") {
    options.max_answer_len = read_count(name, value);
  } else if (name == "max_seq_len") {
    options.max_seq_len = read_count(name, value);
  } else if (name == "batch_size") {
    options.batch_size = read_count(name, value);
  } else if (name == "max_windows") {
    options.max_windows = read_count(name, value);
  } else if (name == "max_blocks") {
    options.max_blocks = read_count(name, value);
  } else if (name == "handle_impossible_answer") {
    options.handle_impossible_answer = read_flag(name, value);
  } else if (name == "align_to_words") {
    options.align_to_words = read_flag(name, value);
  } else if (name == "return_skim") {
    options.return_skim = read_flag(name, value);
  } else if (name == "window_scale") {
    options.window_scale = read_text(name, value);
  } else {
    throw bskim::InputError("There is no option '" + name + "'.");
  }
}

std::vector<bskim::Passage> read_passages(const Json& items) {
  if (!items.is_array()) {
    throw bskim::InputError(std::string("`passages` must be a list of strings or dicts, got ") + kind_of(items) + ".");
  }
  std::vector<bskim::Passage> passages;
  for (const Json& item : items) {
    const Json text = item.is_object() ? item.value("text", Json()) : item;
    const Json title = item.is_object() ? item.value("title", Json()) : Json();
    if (!text.is_string() || !(title.is_string() || title.is_null())) {
      const std::string got = item.is_object() ? std::string("one of ") + kind_of(text) : kind_of(item);
      throw bskim::InputError("Passage " + std::to_string(passages.size()) +
                              " must be a string, or a dict with strings as 'text' and 'title', got " + got + ".");
    }
    passages.push_back({text.get<std::string>(), title.is_string() ? title.get<std::string>() : ""});
  }
  return passages;
}

Json write_answer(const bskim::Answer& one, bool joint) {
  Json out = {{"score", one.score}, {"start", one.start}, {"end", one.end}, {"answer", one.text}};
  if (joint) out["passage"] = one.passage ? Json(*one.passage) : Json();
  return out;
}

Json write_skipped(const std::vector<bskim::Skipped>& skipped) {
  Json out = Json::array();
  for (const bskim::Skipped& one : skipped) {
    Json item = {{"start", one.start}, {"end", one.end}, {"layer", one.layer}};
    if (one.passage) item["passage"] = *one.passage;
    out.push_back(item);
  }
  return out;
}

Json write_answers(const bskim::Answers& found, bool joint, bool return_skim) {
  Json answers = Json::array();
  for (const bskim::Answer& one : found.answers) {
    answers.push_back(write_answer(one, joint));
    answers.back()["start_byte"] = one.start_byte;
    answers.back()["end_byte"] = one.end_byte;
  }
  Json out = {{"answers", answers}, {"windows", found.windows}, {"kept_share", found.kept_share}};
  if (return_skim) out["skipped"] = write_skipped(found.skipped);
  return out;
}

Json answer(const bskim::Pipeline& pipeline, const Json& asked, bskim::AskOptions options) {
  if (!asked.is_object()) {
    throw bskim::InputError(std::string("A question is a dict with 'question' and 'context', got ") + kind_of(asked) +
                            ".");
  }
  for (const auto& [name, value] : asked.items()) {
    if (name != "question" && name != "questions" && name != "context" && name != "passages" && name != "id") {
      read_option(options, name, value);
    }
  }
  if (asked.contains("questions")) {
    std::vector<bskim::Question> questions;
    for (const Json& one : asked["questions"]) {
      questions.push_back(
          {read_text("question", one.value("question", Json())), read_text("context", one.value("context", Json()))});
    }
    Json results = Json::array();
    for (const bskim::Answers& found : pipeline.ask(questions, options)) {
      results.push_back(write_answers(found, false, options.return_skim));
    }
    return {{"results", results}};
  }
  const bool joint = asked.contains("passages") && !asked["passages"].is_null();
  for (const char* key : {"question", "context"}) {
    if (!asked.contains(key) && !(joint && key != std::string("question"))) {
      throw bskim::InputError(std::string("The dict has no '") + key +
                              "'; it needs 'question' and 'context', or 'passages'.");
    }
  }
  const std::string question = read_text("question", asked["question"]);
  if (!joint) {
    return write_answers(pipeline.ask(question, read_text("context", asked["context"]), options), false,
                         options.return_skim);
  }
  if (asked.contains("context") && !asked["context"].is_null()) {
    throw bskim::InputError("Pass either `context` or `passages`, not both.");
  }
  return write_answers(pipeline.ask(question, read_passages(asked["passages"]), options), true, options.return_skim);
}

}  // namespace

std::string report(const std::string& question, const bskim::Answers& found) {
  Json answers = Json::array();
  for (const bskim::Answer& one : found.answers) answers.push_back(write_answer(one, false));
  const Json out = {{"question", question}, {"answers", answers}, {"skipped", write_skipped(found.skipped)}};
  return out.dump(2, ' ', true) + "\n";
}

std::string answer_line(const bskim::Pipeline& pipeline, const std::string& line, const bskim::AskOptions& defaults) {
  Json out;
  try {
    out = answer(pipeline, Json::parse(line), defaults);
  } catch (const bskim::InputError& error) {
    out = {{"error", error.what()}, {"kind", "InputError"}};
  } catch (const bskim::BundleError& error) {
    out = {{"error", error.what()}, {"kind", "BundleError"}};
  } catch (const nlohmann::json::exception& error) {
    out = {{"error", std::string("The line is not JSON: ") + error.what()}, {"kind", "InputError"}};
  }
  return out.dump(-1, ' ', true) + "\n";
}
