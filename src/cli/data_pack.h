#ifndef ES_CLI_DATA_PACK_H
#define ES_CLI_DATA_PACK_H

extern const char es_cli_data_pack_usage[];
/* eigenscope data pack, with the arguments after that; the exit code. */
int es_cli_data_pack(int argc, char **argv);

#endif
