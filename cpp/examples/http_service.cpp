// A question-answering service: JSON in, JSON out. examples/serve.py is the same in Python.
//
//   http_service engines/ --port 8000
//   curl 127.0.0.1:8000/answer -H 'Content-Type: application/json' -d '{"question": "Who?", "context": "Ada was it."}'
//
// One Pipeline serves all requests: it may be used from several threads at once.
#include <httplib.h>
#include <signal.h>

#include <bskim/bskim.hpp>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

namespace {

using Json = nlohmann::json;
using bskim::AskOptions;

constexpr std::size_t LONGEST = 1 << 20;  // bytes of a request
constexpr std::size_t AT_ONCE = 4;        // connections that are served; each that computes needs memory of its own

int count_of(const Json& value) {
  if (value.is_number_integer() && value == value.get<int>()) return value.get<int>();
  throw bskim::InputError("An option must be a whole number of 32 bits, got " + value.dump() + ".");
}

const std::map<std::string, void (*)(AskOptions&, const Json&)> OPTIONS = {
    {"top_k", [](AskOptions& to, const Json& value) { to.top_k = count_of(value); }},
    {"doc_stride", [](AskOptions& to, const Json& value) { to.doc_stride = count_of(value); }},
    {"max_answer_len", [](AskOptions& to, const Json& value) { to.max_answer_len = count_of(value); }},
    {"max_seq_len", [](AskOptions& to, const Json& value) { to.max_seq_len = count_of(value); }},
    {"max_blocks", [](AskOptions& to, const Json& value) { to.max_blocks = count_of(value); }},
    {"window_scale", [](AskOptions& to, const Json& value) { to.window_scale = value.get<std::string>(); }},
    {"handle_impossible_answer", [](AskOptions& to, const Json& value) { value.get_to(to.handle_impossible_answer); }},
};

Json answer(const bskim::Pipeline& qa, const Json& asked) {
  AskOptions options;
  for (const auto& [name, value] : asked.items()) {
    if (name == "question" || name == "context" || name == "passages") continue;
    if (OPTIONS.count(name) == 0) throw bskim::InputError("There is no option '" + name + "'.");
    if (!value.is_null()) OPTIONS.at(name)(options, value);
  }
  const auto question = asked.at("question").get<std::string>();
  const Json context = asked.value("context", Json()), given = asked.value("passages", Json());
  const bool joint = context.is_null();
  if (joint == given.is_null()) throw bskim::InputError("Pass either `context` or `passages`.");
  std::vector<bskim::Passage> passages;
  for (const Json& one : joint ? given.get<std::vector<Json>>() : std::vector<Json>()) {
    const bool plain = one.is_string();
    passages.push_back({(plain ? one : one.at("text")).get<std::string>(), plain ? "" : one.value("title", "")});
  }
  Json answers = Json::array();
  const auto all = joint ? qa.ask(question, passages, options) : qa.ask(question, context.get<std::string>(), options);
  for (const bskim::Answer& one : all.answers) {
    answers.push_back({{"score", one.score}, {"start", one.start}, {"end", one.end}, {"answer", one.text}});
    answers.back().update({{"start_byte", one.start_byte}, {"end_byte", one.end_byte}});
    if (joint) answers.back()["passage"] = one.passage ? Json(*one.passage) : Json();
  }
  return {{"answers", answers}};
}

void reply(httplib::Response& response, int status, const Json& what) {
  response.status = status;  // an error may quote bytes that are no UTF-8
  response.set_content(what.dump(-1, ' ', false, Json::error_handler_t::replace), "application/json");
}

int serve(const char* bundle, int port, const sigset_t& signals) {
  const bskim::Pipeline qa(bundle);
  httplib::Server server;
  server.new_task_queue = [] { return new httplib::ThreadPool(AT_ONCE); };
  server.set_payload_max_length(LONGEST).set_keep_alive_timeout(1);
  server.Get("/healthz", [&](const auto&, auto& to) { reply(to, 200, {{"backend", qa.backend()}}); });
  server.Post("/answer", [&](const auto& asked, auto& to) { reply(to, 200, answer(qa, Json::parse(asked.body))); });
  server.set_exception_handler([](const auto&, auto& to, std::exception_ptr caught) {
    try {
      std::rethrow_exception(caught);
    } catch (const bskim::InputError& error) {  // its message names the problem and the remedy
      reply(to, 400, {{"error", error.what()}});
    } catch (const Json::exception& error) {
      reply(to, 400, {{"error", error.what()}});
    } catch (const std::exception& error) {
      reply(to, 500, {{"error", error.what()}});
    }
  });
  server.set_error_handler([](const auto&, auto& to) {
    if (to.body.empty()) reply(to, to.status, {{"error", "Status " + std::to_string(to.status)}});
  });
  port = port == 0 ? server.bind_to_any_port("127.0.0.1") : server.bind_to_port("127.0.0.1", port) ? port : -1;
  if (port < 0) throw std::runtime_error("The port cannot be listened on.");
  std::cout << "listening on 127.0.0.1:" << port << std::endl;
  std::thread listening([&] { server.listen_after_bind(); });
  int signal = 0;
  sigwait(&signals, &signal);
  while (!server.is_running()) std::this_thread::yield();
  server.stop();  // requests that have begun end
  listening.join();
  return 0;
}

}  // namespace

int main(int count, char** given) {
  const bool named = count == 4 && std::string(given[2]) == "--port";
  if (count != 2 && !named) return std::cerr << "usage: http_service BUNDLE [--port PORT]\n", 2;
  sigset_t signals;
  sigemptyset(&signals);
  for (const int one : {SIGINT, SIGTERM}) sigaddset(&signals, one);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // before there are threads, which inherit it: only sigwait sees them
  try {
    return serve(given[1], named ? std::stoi(given[3]) : 8000, signals);
  } catch (const std::exception& error) {
    return std::cerr << "Error: " << error.what() << "\n", 1;
  }
}
