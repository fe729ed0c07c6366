# Writes shatter_commit.h at build time, touching it only when the commit has changed.
find_package(Git QUIET)
set(commit "unknown")
if(GIT_FOUND)
  execute_process(COMMAND ${GIT_EXECUTABLE} rev-parse --short=12 HEAD WORKING_DIRECTORY ${SOURCE}
                  OUTPUT_VARIABLE head OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE fault)
  if(fault EQUAL 0)
    set(commit ${head})
    execute_process(COMMAND ${GIT_EXECUTABLE} diff --quiet HEAD WORKING_DIRECTORY ${SOURCE}
                    ERROR_QUIET RESULT_VARIABLE changed)
    if(NOT changed EQUAL 0)
      string(APPEND commit "+changes")
    endif()
  endif()
endif()
set(content "// Written by the build.\n#pragma once\n\nnamespace shatter::experiments {\n\
inline constexpr char built_version[] = \"${VERSION}\";\n\
inline constexpr char built_commit[] = \"${commit}\";\n}\n")
set(old "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} old)
endif()
if(NOT old STREQUAL content)
  file(WRITE ${OUTPUT} "${content}")
endif()
