# ONNX Runtime: the target onnxruntime::onnxruntime, ONNXRuntime_FOUND, ONNXRuntime_VERSION (of the library) and
# ONNXRuntime_WHY_NOT. It is looked for in
#   1. ONNXRUNTIME_INCLUDE_DIR and ONNXRUNTIME_LIBRARY
#   2. ONNXRUNTIME_ROOT, where an archive that upstream releases was unpacked
#   3. the packages of BSKIM_PYTHON, if it is set; they hold the library without its headers
#   4. the system: Debian's libonnxruntime-dev
#   5. the packages of the checkout's .venv
# Where there are no headers of that version, those of an older one serve: the interface of C is versioned.
include(Wheels)
get_filename_component(REPOSITORY ${CMAKE_CURRENT_LIST_DIR}/../.. ABSOLUTE)

function(wheel_library OUT)
  wheel_folder(FOLDER "${WHEEL_PYTHON}" onnxruntime)
  file(GLOB FOUND ${FOLDER}/capi/libonnxruntime.so.*)
  if(FOLDER AND FOUND)
    list(GET FOUND 0 FOUND)
    set(${OUT} ${FOUND} PARENT_SCOPE)
  endif()
endfunction()

# What was found before may be gone: pip replaced it.
foreach(KEPT ONNXRUNTIME_LIBRARY ONNXRUNTIME_INCLUDE_DIR)
  if(${KEPT} AND NOT EXISTS "${${KEPT}}")
    unset(${KEPT} CACHE)
  endif()
endforeach()

if(NOT ONNXRUNTIME_LIBRARY AND BSKIM_PYTHON AND NOT ONNXRUNTIME_ROOT)
  wheel_library(ONNXRUNTIME_LIBRARY)
endif()
find_library(ONNXRUNTIME_LIBRARY onnxruntime HINTS ${ONNXRUNTIME_ROOT} PATH_SUFFIXES lib lib64)
if(NOT ONNXRUNTIME_LIBRARY AND NOT ONNXRUNTIME_ROOT)
  unset(ONNXRUNTIME_LIBRARY CACHE)
  wheel_library(ONNXRUNTIME_LIBRARY)
endif()
find_path(
  ONNXRUNTIME_INCLUDE_DIR onnxruntime_cxx_api.h
  HINTS ${ONNXRUNTIME_ROOT}
  PATHS ${REPOSITORY}/build/onnxruntime-headers/usr
  PATH_SUFFIXES include include/onnxruntime include/onnxruntime/core/session onnxruntime)

set(ONNXRuntime_WHY_NOT "")
if(NOT ONNXRUNTIME_LIBRARY)
  set(ONNXRuntime_WHY_NOT "there is no library")
elseif(NOT ONNXRUNTIME_INCLUDE_DIR)
  set(ONNXRuntime_WHY_NOT "there are no headers for '${ONNXRUNTIME_LIBRARY}'")
else()
  file(REAL_PATH ${ONNXRUNTIME_LIBRARY} REAL_LIBRARY)
  string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+$" ONNXRuntime_VERSION ${REAL_LIBRARY})
  file(STRINGS ${ONNXRUNTIME_INCLUDE_DIR}/onnxruntime_c_api.h API_LINE REGEX "^#define ORT_API_VERSION ")
  string(REGEX MATCH "[0-9]+" API_VERSION "${API_LINE}")
  # A library without a version in its name is asked when the backend is opened.
  if(ONNXRuntime_VERSION AND ONNXRuntime_VERSION VERSION_LESS "1.${API_VERSION}")
    set(ONNXRuntime_WHY_NOT "the headers in '${ONNXRUNTIME_INCLUDE_DIR}' are of 1.${API_VERSION}, newer than \
'${REAL_LIBRARY}'")
  endif()
endif()

if(NOT ONNXRuntime_WHY_NOT AND NOT TARGET onnxruntime::onnxruntime)
  # The loader looks for the name that the library gives itself; a wheel has no file of that name.
  execute_process(COMMAND ${CMAKE_COMMAND} -E env LC_ALL=C ${CMAKE_READELF} -d ${REAL_LIBRARY} OUTPUT_VARIABLE DYNAMIC ERROR_QUIET)
  string(REGEX MATCH "Library soname: .([^] ]+)" SONAME_LINE "${DYNAMIC}")
  set(SONAME "${CMAKE_MATCH_1}")
  get_filename_component(ONNXRUNTIME_FOLDER ${ONNXRUNTIME_LIBRARY} DIRECTORY)
  set(LOCATION ${ONNXRUNTIME_LIBRARY})
  if(SONAME_LINE AND NOT EXISTS ${ONNXRUNTIME_FOLDER}/${SONAME})
    set(ONNXRUNTIME_LINK ${CMAKE_CURRENT_BINARY_DIR}/onnxruntime/${SONAME})
    file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/onnxruntime)
    file(CREATE_LINK ${REAL_LIBRARY} ${ONNXRUNTIME_LINK} SYMBOLIC)
    set(LOCATION ${ONNXRUNTIME_LINK})
  endif()
  add_library(onnxruntime::onnxruntime SHARED IMPORTED)
  set_target_properties(onnxruntime::onnxruntime PROPERTIES IMPORTED_LOCATION ${LOCATION}
                                                            INTERFACE_INCLUDE_DIRECTORIES ${ONNXRUNTIME_INCLUDE_DIR})
endif()

if(ONNXRuntime_WHY_NOT)
  set(ONNXRuntime_FOUND FALSE)
else()
  set(ONNXRuntime_FOUND TRUE)
endif()
