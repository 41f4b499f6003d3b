#include <bskim/bskim.h>
#include <stdio.h>

int main(void) {
  if (bskim_abi_version() != BSKIM_ABI_VERSION) return 1;
  puts(bskim_version());
  return 0;
}
