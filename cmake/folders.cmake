# The folders as libraries, and their tests. Sources are globbed: adding a file needs no edit here.

function(folder_library name folder)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.c)
  if(name STREQUAL "dlrt")
    list(FILTER sources EXCLUDE REGEX "/runtime/host/")
  endif()
  if(sources)
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PUBLIC ${ARGN})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE ${ARGN})
  endif()
endfunction()

folder_library(dlrt runtime m OpenMP::OpenMP_C)
folder_library(host runtime/host dlrt ZLIB::ZLIB)
folder_library(ir ir m)
folder_library(frontend frontend ir)
# The standard library, as text in the compiler.
file(GLOB std_files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/frontend/std/*.dl)
list(SORT std_files)
string(REPLACE ";" "," std_list "${std_files}")
set(std_text ${CMAKE_BINARY_DIR}/generated/frontend/std_text.c)
add_custom_command(OUTPUT ${std_text} DEPENDS ${std_files} ${CMAKE_SOURCE_DIR}/cmake/embed_std.cmake
  COMMAND ${CMAKE_COMMAND} -DOUT=${std_text} -DFILES=${std_list} -P ${CMAKE_SOURCE_DIR}/cmake/embed_std.cmake VERBATIM)
target_sources(frontend PRIVATE ${std_text})
# The messages of ONNX files. Static where that is installed: the tools then need nothing of it.
find_program(PROTOC_C protoc-c REQUIRED)
find_library(PROTOBUF_C NAMES libprotobuf-c.a protobuf-c REQUIRED)
set(onnx_messages ${CMAKE_BINARY_DIR}/generated/frontend/onnx/onnx.pb-c)
add_custom_command(OUTPUT ${onnx_messages}.c ${onnx_messages}.h
  DEPENDS ${CMAKE_SOURCE_DIR}/frontend/onnx/onnx.proto
  COMMAND ${PROTOC_C} --proto_path=${CMAKE_SOURCE_DIR} --c_out=${CMAKE_BINARY_DIR}/generated
          frontend/onnx/onnx.proto VERBATIM)
set_source_files_properties(${onnx_messages}.c PROPERTIES COMPILE_OPTIONS -w)
add_custom_target(onnx_messages DEPENDS ${onnx_messages}.h) # also before what includes the header
add_dependencies(frontend onnx_messages)
target_sources(frontend PRIVATE ${onnx_messages}.c)
target_link_libraries(frontend PUBLIC ${PROTOBUF_C})
folder_library(passes passes ir)
# What the cache of objects is keyed by: every source that can change generated code.
file(GLOB backend_id_sources CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/backend/*.[ch]
     ${CMAKE_SOURCE_DIR}/ir/kernel.[ch] ${CMAKE_SOURCE_DIR}/ir/scalar.h)
list(TRANSFORM backend_id_sources PREPEND ${CMAKE_SOURCE_DIR}/ OUTPUT_VARIABLE backend_id_depends)
list(JOIN backend_id_sources "|" backend_id_joined)
set(backend_id ${CMAKE_BINARY_DIR}/generated/backend_id.h)
add_custom_command(OUTPUT ${backend_id} DEPENDS ${backend_id_depends} ${CMAKE_SOURCE_DIR}/cmake/backend_id.cmake
  COMMAND ${CMAKE_COMMAND} -DROOT=${CMAKE_SOURCE_DIR} -DOUT=${backend_id} -DLLVM_VERSION=${LLVM_VERSION}
          "-DSOURCES=${backend_id_joined}" -P ${CMAKE_SOURCE_DIR}/cmake/backend_id.cmake VERBATIM)

folder_library(backend backend ir)

if(TARGET host AND PNG_FOUND)
  get_target_property(host_type host TYPE)
  if(host_type STREQUAL "STATIC_LIBRARY")
    target_compile_definitions(host PRIVATE DLCC_HAVE_PNG=1)
    target_link_libraries(host PUBLIC PNG::PNG)
  endif()
endif()

# The runtime as one object, embedded in the compiler for the libraries it makes.
set(DLRT_OBJECT ${CMAKE_BINARY_DIR}/dlrt.o)
add_custom_command(OUTPUT ${DLRT_OBJECT}
  COMMAND ${CMAKE_C_COMPILER} -r -nostdlib -Wl,--whole-archive $<TARGET_FILE:dlrt> -Wl,--no-whole-archive -o ${DLRT_OBJECT}
  COMMAND ${CMAKE_OBJCOPY} --strip-debug ${DLRT_OBJECT}
  DEPENDS dlrt VERBATIM)
set_source_files_properties(${CMAKE_SOURCE_DIR}/backend/embedded.c PROPERTIES
  COMPILE_DEFINITIONS "DLRT_OBJECT=\"${DLRT_OBJECT}\";DLRT_SOURCE=\"${CMAKE_SOURCE_DIR}/runtime\""
  OBJECT_DEPENDS "${DLRT_OBJECT};${CMAKE_SOURCE_DIR}/runtime/dlrt.h;${CMAKE_SOURCE_DIR}/runtime/plan.h")

get_target_property(backend_type backend TYPE)
if(backend_type STREQUAL "STATIC_LIBRARY")
  target_sources(backend PRIVATE ${backend_id})
  target_include_directories(backend SYSTEM PRIVATE ${LLVM_INCLUDE})
  # Linked statically: a shared libLLVM alone costs 20 ms of start-up.
  target_link_libraries(backend PUBLIC -L${LLVM_LIBDIR} ${LLVM_LIBS} xxhash z zstd tinfo stdc++ dl pthread rt m)
  if(LLD)
    target_link_options(backend PUBLIC -B${CMAKE_BINARY_DIR}/tools -fuse-ld=lld -Wl,--gc-sections)
    file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/tools)
    file(CREATE_LINK ${LLD} ${CMAKE_BINARY_DIR}/tools/ld.lld SYMBOLIC)
  endif()
endif()

# tests/<folder>/test_*.c: cmocka executables linked to the folder's library and, through it, to what that needs.
find_library(CMOCKA cmocka)
if(CMOCKA)
  foreach(pair runtime:dlrt host:host ir:ir frontend:frontend onnx:frontend passes:passes backend:backend)
    string(REPLACE ":" ";" pair ${pair})
    list(GET pair 0 folder)
    list(GET pair 1 library)
    file(GLOB tests CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${folder}/test_*.c)
    file(GLOB shared CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${folder}/*.c)
    list(FILTER shared EXCLUDE REGEX "/test_[^/]*$") # what several tests of a folder use
    foreach(test ${tests})
      get_filename_component(name ${test} NAME_WE)
      add_executable(${name} ${test} ${shared})
      target_compile_definitions(${name} PRIVATE DLCC_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
      target_link_libraries(${name} PRIVATE ${library} ${CMOCKA})
      if(folder STREQUAL "backend")
        target_link_libraries(${name} PRIVATE passes frontend host dlrt)
      elseif(folder STREQUAL "passes")
        target_link_libraries(${name} PRIVATE frontend)
      endif()
      add_test(NAME ${folder}/${name} COMMAND ${name})
      set_tests_properties(${folder}/${name} PROPERTIES LABELS quick TIMEOUT 300)
    endforeach()
  endforeach()
else()
  message(STATUS "cmocka not found: unit tests are not built")
endif()

file(GLOB mains CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/driver/main_*.c)
file(GLOB driver CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/driver/*.c)
foreach(main ${mains})
  list(REMOVE_ITEM driver ${main})
endforeach()
foreach(main ${mains})
  get_filename_component(tool ${main} NAME_WE)
  string(REPLACE "main_" "" tool ${tool})
  add_executable(${tool} ${main} ${driver})
  target_link_libraries(${tool} PRIVATE backend passes frontend host)
  # At a fixed address: moving LLVM's hundred thousand pointers is half of the time to start.
  target_link_options(${tool} PRIVATE -no-pie)
endforeach()

# tests/onnx/conform/*.c: the runner of the standard ONNX tests, in one process with the compiler.
file(GLOB conform CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/onnx/conform/*.c)
if(mains AND conform)
  add_executable(onnx_conform ${conform} ${driver})
  target_link_libraries(onnx_conform PRIVATE backend passes frontend host)
  target_link_options(onnx_conform PRIVATE -no-pie)
endif()

# tests/**/test_*.sh: scripts that use the built tools.
if(mains)
  file(GLOB_RECURSE scripts CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/test_*.sh)
  foreach(script ${scripts})
    file(RELATIVE_PATH name ${CMAKE_SOURCE_DIR}/tests ${script})
    add_test(NAME ${name} COMMAND bash ${script} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES LABELS quick TIMEOUT 300 SKIP_RETURN_CODE 77
      ENVIRONMENT "DLCC=${CMAKE_BINARY_DIR}/dlcc;DLRUN=${CMAKE_BINARY_DIR}/dlrun;BUILD=${CMAKE_BINARY_DIR}")
  endforeach()
endif()

# bench/*.c: measuring programs, built on request: `ninja bench_ulp`.
file(GLOB benches CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/bench/*.c)
foreach(bench ${benches})
  get_filename_component(name ${bench} NAME_WE)
  add_executable(bench_${name} EXCLUDE_FROM_ALL ${bench})
  target_link_libraries(bench_${name} PRIVATE backend passes frontend host)
endforeach()
