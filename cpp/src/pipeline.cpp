#include <algorithm>
#include <functional>
#include <memory>
#include <utility>

#include "bskim/bskim.hpp"
#include "bundle/bundle.hpp"
#include "bundle/checks.hpp"
#include "errors.hpp"
#include "runtime/asking.hpp"
#include "runtime/opening.hpp"
#include "runtime/options.hpp"
#include "runtime/runner.hpp"
#include "runtime/windows.hpp"
#include "tokenizer/tokenizer.hpp"

namespace bskim {
namespace {

void check_text(std::string_view text, const char* name) {
  if (text.empty()) throw InputError(std::string("`") + name + "` cannot be empty.");
}

}  // namespace

// Nothing here changes once it is made, and the runner is safe from several threads.
struct Pipeline::Parts {
  std::shared_ptr<const Bundle> bundle;
  int batch_size;
  BackendOptions backend;
  std::string backend_reason;
  Policies policies;
  WindowMaker maker;
  std::unique_ptr<Runner> runner;

  static std::unique_ptr<Parts> open(const std::string& path, const PipelineOptions& options);
  Answerer answerer(const AskOptions& options) const;
  // Answer questions that `make` makes; `several`: errors say which question they are about.
  std::vector<Answers> run(const AskOptions& options, std::size_t count, bool several,
                           const std::function<std::unique_ptr<Asked>(const Answerer&, std::size_t)>& make) const;
};

std::unique_ptr<Pipeline::Parts> Pipeline::Parts::open(const std::string& path, const PipelineOptions& options) {
  if (options.threshold) check_threshold(*options.threshold);
  auto bundle = std::make_shared<const Bundle>(Bundle::open(path));
  const Manifest& manifest = bundle->manifest();
  RunOptions::resolve(manifest.defaults, manifest.model.max_seq_len, options.batch_size, {});  // before all is loaded
  auto [backend, reason] = find_backend(manifest, options);
  const std::string where = (bundle->folder() / TOKENIZER).string();
  WindowMaker maker(Tokenizer::from_json(bundle->read(TOKENIZER), where), manifest.model);
  auto runner = make_runner(bundle, backend);
  Policies policies = make_policies(manifest, backend, options.threshold);
  const auto& layers = runner->skim_layers();
  const bool skims =
      std::any_of(layers.begin(), layers.end(), [&](int layer) { return policies.single.scores(layer); });
  runner->load(!skims, skims);
  return std::make_unique<Parts>(
      Parts{bundle, options.batch_size, backend, reason, std::move(policies), std::move(maker), std::move(runner)});
}

Answerer Pipeline::Parts::answerer(const AskOptions& options) const {
  const Manifest& manifest = bundle->manifest();
  Answerer answerer{&maker, runner.get(), &policies,
                    RunOptions::resolve(manifest.defaults, manifest.model.max_seq_len, batch_size, options)};
  answerer.check();
  return answerer;
}

std::vector<Answers> Pipeline::Parts::run(
    const AskOptions& options, std::size_t count, bool several,
    const std::function<std::unique_ptr<Asked>(const Answerer&, std::size_t)>& make) const {
  const Answerer own = answerer(options);
  std::vector<Answers> answers;
  const auto take = [&](std::size_t number, const Done& done) {
    if (!done.asked) throw InputError(several ? "Question " + std::to_string(number) + ": " + done.error : done.error);
    answers.push_back(done.asked->answers());
  };
  ask_all(
      own, count, [&](std::size_t i) { return make(own, i); }, take);
  return answers;
}

Pipeline::Pipeline(const std::string& bundle, const PipelineOptions& options) : parts_(Parts::open(bundle, options)) {}
Pipeline::~Pipeline() = default;
Pipeline::Pipeline(Pipeline&&) noexcept = default;
Pipeline& Pipeline::operator=(Pipeline&&) noexcept = default;

Answer Pipeline::ask(std::string_view question, std::string_view context) const {
  return ask(question, context, AskOptions()).answers.front();
}

Answers Pipeline::ask(std::string_view question, std::string_view context, const AskOptions& options) const {
  const auto make = [&](const Answerer& answerer, std::size_t) {
    check_text(question, "question");
    check_text(context, "context");
    std::vector<Passage> one(1);
    one[0].text = context;
    return std::make_unique<Asked>(answerer, question, std::move(one), false, options.return_skim);
  };
  return std::move(parts_->run(options, 1, false, make).front());
}

Answers Pipeline::ask(std::string_view question, const std::vector<Passage>& passages,
                      const AskOptions& options) const {
  const auto make = [&](const Answerer& answerer, std::size_t) {
    check_text(question, "question");
    return std::make_unique<Asked>(answerer, question, passages, true, options.return_skim);
  };
  return std::move(parts_->run(options, 1, false, make).front());
}

std::vector<Answers> Pipeline::ask(const std::vector<Question>& questions, const AskOptions& options) const {
  const auto make = [&](const Answerer& answerer, std::size_t i) {
    check_text(questions[i].question, "question");
    check_text(questions[i].context, "context");
    std::vector<Passage> one(1);
    one[0].text = questions[i].context;
    return std::make_unique<Asked>(answerer, questions[i].question, std::move(one), false, options.return_skim);
  };
  std::vector<Answers> answers = parts_->run(options, questions.size(), true, make);
  if (answers.empty()) throw InputError("There are no questions: the list is empty.");
  return answers;
}

std::string Pipeline::backend() const {
  return parts_->backend.name;
}
std::string Pipeline::backend_reason() const {
  return parts_->backend_reason;
}

const char* version() {
  return BSKIM_VERSION;
}

}  // namespace bskim
