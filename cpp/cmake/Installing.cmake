# `cmake --install`: the library, its headers, bskim-answer, and what find_package and pkg-config read.
include(CMakePackageConfigHelpers)
set(PACKAGE_FOLDER ${CMAKE_INSTALL_LIBDIR}/cmake/bskim)

# ONNX Runtime's link, if one was made, goes along: the build folder may be gone one day.
set(RPATHS $ORIGIN)
if(ONNXRUNTIME_LINK)
  install(FILES ${ONNXRUNTIME_LINK} DESTINATION ${CMAKE_INSTALL_LIBDIR}/bskim)
  list(APPEND RPATHS $ORIGIN/bskim)
endif()
# Other libraries outside of the system stay where they are.
foreach(BACKEND ${BSKIM_BACKENDS})
  get_target_property(LOCATION ${BACKEND} LOCATION)
  get_filename_component(LOCATION_FOLDER ${LOCATION} DIRECTORY)
  if(NOT LOCATION STREQUAL "${ONNXRUNTIME_LINK}" AND NOT LOCATION_FOLDER IN_LIST
                                                     CMAKE_CXX_IMPLICIT_LINK_DIRECTORIES)
    list(APPEND RPATHS ${LOCATION_FOLDER})
  endif()
endforeach()
set_target_properties(bskim PROPERTIES INSTALL_RPATH "${RPATHS}")
file(RELATIVE_PATH FROM_BIN ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
set_target_properties(bskim-answer PROPERTIES INSTALL_RPATH "$ORIGIN/${FROM_BIN}")

install(TARGETS bskim bskim-answer EXPORT bskim RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR}
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/bskim DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT bskim FILE bskimTargets.cmake NAMESPACE bskim:: DESTINATION ${PACKAGE_FOLDER})

configure_package_config_file(cmake/bskimConfig.cmake.in ${PROJECT_BINARY_DIR}/bskimConfig.cmake
                              INSTALL_DESTINATION ${PACKAGE_FOLDER})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/bskimConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/bskimConfig.cmake ${PROJECT_BINARY_DIR}/bskimConfigVersion.cmake
        DESTINATION ${PACKAGE_FOLDER})

configure_file(cmake/bskim.pc.in ${PROJECT_BINARY_DIR}/bskim.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/bskim.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
