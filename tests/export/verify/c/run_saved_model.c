/* Runs one signature of a SavedModel from plain C, without Python or Keras.
 *
 *   run_saved_model FOLDER INPUT TYPE DIMENSIONS FILE OUTPUT...
 *
 * INPUT and OUTPUT are names of graph tensors such as serving_default_images:0. TYPE is
 * string, uint8 or float. FILE holds the input's bytes: one string of shape (1,), or
 * DIMENSIONS (1x32x32x3) numbers. Each output is printed on a line of its own: its type,
 * its number of elements, and the elements. Exit code 1 after any error. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/tf_tstring.h"

#define MOST_OUTPUTS 8
#define MOST_DIMENSIONS 4

static void fail(const char *what) {
  fprintf(stderr, "%s\n", what);
  exit(1);
}

static void check(TF_Status *status) {
  if (TF_GetCode(status) != TF_OK) fail(TF_Message(status));
}

static TF_Output tensor_called(TF_Graph *graph, const char *name) {
  char operation[256];
  const char *colon = strrchr(name, ':');
  if (colon == NULL || (size_t)(colon - name) >= sizeof operation) fail(name);
  memcpy(operation, name, colon - name);
  operation[colon - name] = '\0';
  TF_Output output = {TF_GraphOperationByName(graph, operation), atoi(colon + 1)};
  if (output.oper == NULL) fail(name);
  return output;
}

static char *contents_of(const char *path, size_t *length) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) fail(path);
  fseek(file, 0, SEEK_END);
  *length = ftell(file);
  rewind(file);
  char *contents = malloc(*length + 1);
  if (contents == NULL || fread(contents, 1, *length, file) != *length) fail(path);
  fclose(file);
  return contents;
}

static TF_Tensor *input_tensor(const char *type, char *dimensions, const char *path) {
  size_t length;
  char *contents = contents_of(path, &length);
  TF_Tensor *tensor;
  if (strcmp(type, "string") == 0) {
    int64_t one = 1;
    tensor = TF_AllocateTensor(TF_STRING, &one, 1, sizeof(TF_TString));
    TF_TString *text = TF_TensorData(tensor);
    TF_StringInit(text);
    TF_StringCopy(text, contents, length);
  } else {
    int64_t sizes[MOST_DIMENSIONS];
    int count = 0;
    for (char *size = strtok(dimensions, "x"); size && count < MOST_DIMENSIONS;
         size = strtok(NULL, "x"))
      sizes[count++] = atoll(size);
    TF_DataType number = strcmp(type, "uint8") == 0 ? TF_UINT8 : TF_FLOAT;
    tensor = TF_AllocateTensor(number, sizes, count, length);
    memcpy(TF_TensorData(tensor), contents, length);
  }
  free(contents);
  return tensor;
}

static void print(const TF_Tensor *tensor) {
  int64_t count = TF_TensorElementCount(tensor);
  int is_text = TF_TensorType(tensor) == TF_STRING;
  printf("%s %lld", is_text ? "string" : "float", (long long)count);
  for (int64_t i = 0; i < count; i++) {
    if (is_text) {
      const TF_TString *text = (const TF_TString *)TF_TensorData(tensor) + i;
      printf("\t%.*s", (int)TF_StringGetSize(text), TF_StringGetDataPointer(text));
    } else {
      printf("\t%.9g", ((const float *)TF_TensorData(tensor))[i]);
    }
  }
  printf("\n");
}

int main(int argc, char **argv) {
  if (argc < 7 || argc - 6 > MOST_OUTPUTS) fail("wrong number of arguments");
  TF_Status *status = TF_NewStatus();
  TF_Graph *graph = TF_NewGraph();
  TF_SessionOptions *options = TF_NewSessionOptions();
  const char *tags[] = {"serve"};
  TF_Session *session = TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1,
                                                     graph, NULL, status);
  check(status);

  TF_Output input = tensor_called(graph, argv[2]);
  TF_Tensor *given = input_tensor(argv[3], argv[4], argv[5]);
  int count = argc - 6;
  TF_Output outputs[MOST_OUTPUTS];
  TF_Tensor *answers[MOST_OUTPUTS];
  for (int i = 0; i < count; i++) outputs[i] = tensor_called(graph, argv[6 + i]);
  TF_SessionRun(session, NULL, &input, &given, 1, outputs, answers, count, NULL, 0, NULL,
                status);
  check(status);
  for (int i = 0; i < count; i++) {
    print(answers[i]);
    TF_DeleteTensor(answers[i]);
  }

  TF_DeleteTensor(given);
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  TF_DeleteStatus(status);
  return 0;
}
