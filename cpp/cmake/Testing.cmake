# The tests, and the tools that only tests run.
file(GLOB TEST_SOURCES CONFIGURE_DEPENDS tests/*.cpp)
add_executable(bskim_tests ${TEST_SOURCES})
target_link_libraries(bskim_tests PRIVATE bskim_objects doctest::doctest)
add_test(NAME tests COMMAND bskim_tests)

file(GLOB TOOL_SOURCES CONFIGURE_DEPENDS tools/bskim_*.cpp)
list(FILTER TOOL_SOURCES EXCLUDE REGEX "/bskim_answer\\.cpp$")
foreach(SOURCE ${TOOL_SOURCES})
  get_filename_component(NAME ${SOURCE} NAME_WE)
  string(REPLACE _ - NAME ${NAME})
  add_executable(${NAME} ${SOURCE})
  target_link_libraries(${NAME} PRIVATE bskim_objects bskim_writing)
endforeach()

add_test(NAME exports COMMAND ${CMAKE_COMMAND} -DNM=${CMAKE_NM} -DLIBRARY=$<TARGET_FILE:bskim> -P
                              ${CMAKE_CURRENT_SOURCE_DIR}/cmake/check_exports.cmake)
# With a bundle, engines run too.
if(BSKIM_BUNDLE AND TARGET bskim-stress)
  foreach(BACKEND onnxruntime openvino)
    string(TOUPPER ${BACKEND} UPPER)
    if(BSKIM_HAS_${UPPER})
      add_test(NAME stress_${BACKEND}
               COMMAND ${CMAKE_COMMAND} -DSTRESS=$<TARGET_FILE:bskim-stress> -DBUNDLE=${BSKIM_BUNDLE}
                       -DBACKEND=${BACKEND} -DFOLDER=${PROJECT_BINARY_DIR} -P
                       ${CMAKE_CURRENT_SOURCE_DIR}/cmake/check_stress.cmake)
    endif()
  endforeach()
endif()
# A sanitizer's library would have to come first in every program.
if(NOT BSKIM_SANITIZE)
  find_package(PkgConfig QUIET)
  add_test(NAME install
           COMMAND ${CMAKE_COMMAND} -DBUILD=${PROJECT_BINARY_DIR} -DSOURCE=${PROJECT_SOURCE_DIR}
                   -DVERSION=${PROJECT_VERSION} -DLIBDIR=${CMAKE_INSTALL_LIBDIR} -DC_COMPILER=${CMAKE_C_COMPILER}
                   -DCXX_COMPILER=${CMAKE_CXX_COMPILER} -DPKG_CONFIG=${PKG_CONFIG_EXECUTABLE} -P
                   ${CMAKE_CURRENT_SOURCE_DIR}/cmake/check_install.cmake)
endif()
