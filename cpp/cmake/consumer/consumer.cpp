#include <bskim/bskim.hpp>
#include <iostream>

int main() {
  try {
    bskim::Pipeline pipeline("no such folder");
  } catch (const bskim::BundleError&) {  // thrown in the library, caught here
    std::cout << bskim::version() << "\n";
  }
}
