#include "runtime/asking.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "errors.hpp"

namespace bskim {
namespace {

struct Pending {
  Asked* asked;
  std::size_t number;
  Window window;
};

// The three kinds of questions: of one window, of several, and of several of which the first run only scouts.
constexpr std::pair<bool, bool> KINDS[] = {{false, false}, {true, false}, {true, true}};

template <typename Entry>
std::vector<const Entry*> of_kind(const std::vector<Entry>& entries, std::pair<bool, bool> kind) {
  std::vector<const Entry*> own;
  for (const Entry& one : entries) {
    if (one.asked->document() == kind.first && one.asked->bounded() == kind.second) own.push_back(&one);
  }
  return own;
}

struct Once {
  Asked* asked;
  Again again;
};

class Asking {
public:
  Asking(const Answerer& answerer, const std::function<void(std::size_t, const Done&)>& take)
      : answerer_(answerer), take_(take), most_(TOGETHER * static_cast<std::size_t>(answerer.options.batch_size)) {}

  // Cut a question, and run what is at hand whenever there is enough. Gives the questions away that are done.
  void add(const std::function<std::unique_ptr<Asked>()>& make) {
    Done done;
    try {
      done.asked = make();
      done.asked->cut([&](std::size_t number, Window window) {
        pending_.push_back({done.asked.get(), number, std::move(window)});
        if (pending_.size() < most_) return;
        run();
        finish();
      });
    } catch (const InputError& error) {
      const auto is_own = [&](const Pending& one) { return one.asked == done.asked.get(); };
      pending_.erase(std::remove_if(pending_.begin(), pending_.end(), is_own), pending_.end());
      done.asked.reset();
      done.error = error.what();
    }
    waiting_.push_back(std::move(done));
    give();
  }

  void end() {
    run();
    finish();
    give();
  }

private:
  void run() {
    for (const auto& kind : KINDS) {
      const auto own = of_kind(pending_, kind);
      if (own.empty()) continue;
      std::vector<Task> tasks;
      for (const Pending* one : own) tasks.push_back({&one->window, std::nullopt, nullptr});
      const auto results =
          kind.second ? answerer_.scout(std::move(tasks)) : answerer_.run(std::move(tasks), kind.first);
      for (std::size_t i = 0; i < own.size(); ++i) own[i]->asked->note(own[i]->number, own[i]->window, results[i]);
    }
    pending_.clear();
  }

  // Run windows once more where that is needed.
  void finish() {
    std::vector<Once> once;
    for (const Done& done : waiting_) {
      if (!done.asked) continue;
      for (Again& again : done.asked->again()) once.push_back({done.asked.get(), std::move(again)});
    }
    for (const auto& kind : KINDS) {
      const auto own = of_kind(once, kind);
      if (own.empty()) continue;
      std::vector<Task> tasks;
      for (const Once* one : own) {
        const Again& again = one->again;
        tasks.push_back({&again.window, again.protected_block, again.chosen ? &*again.chosen : nullptr});
      }
      const auto results = answerer_.run(std::move(tasks), kind.first);
      for (std::size_t i = 0; i < own.size(); ++i) own[i]->asked->note_again(own[i]->again, results[i]);
    }
    for (Done& done : waiting_) finished_.push_back(std::move(done));
    waiting_.clear();
  }

  // Not while a question is cut: what `take` throws is no error of that one.
  void give() {
    for (const Done& done : finished_) take_(given_++, done);
    finished_.clear();
  }

  const Answerer& answerer_;
  const std::function<void(std::size_t, const Done&)>& take_;
  std::size_t most_;
  std::size_t given_ = 0;
  std::vector<Pending> pending_;
  std::vector<Done> waiting_, finished_;
};

}  // namespace

void ask_all(const Answerer& answerer, std::size_t count,
             const std::function<std::unique_ptr<Asked>(std::size_t)>& make,
             const std::function<void(std::size_t, const Done&)>& take) {
  Asking asking(answerer, take);
  for (std::size_t i = 0; i < count; ++i) asking.add([&] { return make(i); });
  asking.end();
}

}  // namespace bskim
