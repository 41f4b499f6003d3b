# Libraries in Python packages: the same files that the Python package of this project runs on.
include_guard()

# The folder of a package that is installed for a Python, or "". The package is not imported.
function(wheel_folder OUT PYTHON PACKAGE)
  set(${OUT} "" PARENT_SCOPE)
  if(NOT EXISTS "${PYTHON}")
    return()
  endif()
  execute_process(
    COMMAND ${PYTHON} -I -c
            "from importlib.util import find_spec; found = find_spec('${PACKAGE}'); print(next(iter(found.submodule_search_locations)) if found else '')"
    OUTPUT_VARIABLE FOLDER OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE FAILED)
  if(NOT FAILED)
    set(${OUT} "${FOLDER}" PARENT_SCOPE)
  endif()
endfunction()

# The Pythons whose packages may be used: the one that was named, or that of a checkout.
if(BSKIM_PYTHON)
  set(WHEEL_PYTHON ${BSKIM_PYTHON})
  if(NOT EXISTS "${BSKIM_PYTHON}")
    message(FATAL_ERROR "BSKIM_PYTHON is '${BSKIM_PYTHON}', which does not exist.")
  endif()
else()
  get_filename_component(WHEEL_PYTHON ${CMAKE_CURRENT_LIST_DIR}/../../.venv/bin/python ABSOLUTE)
endif()
