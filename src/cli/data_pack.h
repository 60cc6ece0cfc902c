#ifndef ES_CLI_DATA_PACK_H
#define ES_CLI_DATA_PACK_H

/* eigenscope data pack, with the arguments after that; the exit code. */
int es_cli_data_pack(int argc, char **argv);

#endif
