// bskim-stress BUNDLE THREADS [BACKEND]: answers the lines on standard input, as bskim-answer --jsonl does, from
// several threads that share one pipeline. For sanitizers, and to see that answers do not depend on who asks beside.
#include <iostream>
#include <string>
#include <vector>

#include "answer_json.hpp"
#include "bskim/bskim.hpp"
#include "runtime/side_by_side.hpp"

namespace {

int run(int count, char** given) {
  bskim::PipelineOptions options;
  options.backend = count > 3 ? given[3] : "";
  const bskim::Pipeline pipeline(given[1], options);
  std::vector<std::string> lines;
  for (std::string line; std::getline(std::cin, line);) lines.push_back(line);
  std::vector<std::string> answers(lines.size());
  bskim::side_by_side(std::stoul(given[2]), lines.size(),
                      [&](std::size_t i) { answers[i] = answer_line(pipeline, lines[i], {}); });
  for (const std::string& answer : answers) std::cout << answer;
  return 0;
}

}  // namespace

int main(int count, char** given) {
  if (count < 3) {
    std::cerr << "usage: bskim-stress BUNDLE THREADS [BACKEND] < questions.jsonl\n";
    return 2;
  }
  try {
    return run(count, given);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
