/* Wraps HDF5. A failing call leaves a reason on HDF5's error stack, as real failures do. */
#include "wrap.h"
#include <hdf5.h>
#include <hdf5_hl.h>

static void give_reason(const char *name) {
  H5Eclear2(H5E_DEFAULT);
  H5Epush2(H5E_DEFAULT, __FILE__, name, __LINE__, H5E_ERR_CLS, H5E_IO, H5E_BADVALUE, "a call that was made to fail");
}

#define WRAP_HDF5(name, type, parameters, arguments, fail)                                                             \
  WRAP_CALL(name, FAULT_STORE, type, parameters, arguments, (give_reason(#name), (fail)))

/* Wraps a function that returns a new identifier. */
#define WRAP_HDF5_OPENING(name, parameters, arguments)                                                                 \
  WRAP_DECLARE(name, hid_t, parameters) {                                                                              \
    if (fault_strikes(FAULT_STORE, #name)) return give_reason(#name), -1;                                              \
    const hid_t made = __real_##name arguments;                                                                        \
    fault_opened_hdf5(made >= 0);                                                                                      \
    return made;                                                                                                       \
  }

#define WRAP_HDF5_CLOSING(name)                                                                                        \
  WRAP_DECLARE(name, herr_t, (hid_t a)) {                                                                              \
    const bool strikes = fault_strikes(FAULT_STORE, #name);                                                            \
    const herr_t outcome = __real_##name(a);                                                                           \
    fault_opened_hdf5(-(outcome >= 0));                                                                                \
    return strikes ? (give_reason(#name), -1) : outcome;                                                               \
  }

WRAP_HDF5_OPENING(H5Acreate2, (hid_t a, const char *b, hid_t c, hid_t d, hid_t e, hid_t f), (a, b, c, d, e, f))
WRAP_HDF5_OPENING(H5Aget_space, (hid_t a), (a))
WRAP_HDF5_OPENING(H5Aget_type, (hid_t a), (a))
WRAP_HDF5_OPENING(H5Aopen, (hid_t a, const char *b, hid_t c), (a, b, c))
WRAP_HDF5_OPENING(H5Dcreate2, (hid_t a, const char *b, hid_t c, hid_t d, hid_t e, hid_t f, hid_t g),
                  (a, b, c, d, e, f, g))
WRAP_HDF5_OPENING(H5Dget_create_plist, (hid_t a), (a))
WRAP_HDF5_OPENING(H5Dget_space, (hid_t a), (a))
WRAP_HDF5_OPENING(H5Dget_type, (hid_t a), (a))
WRAP_HDF5_OPENING(H5Dopen2, (hid_t a, const char *b, hid_t c), (a, b, c))
WRAP_HDF5_OPENING(H5FDregister, (const H5FD_class_t *a), (a))
WRAP_HDF5_OPENING(H5Fcreate, (const char *a, unsigned b, hid_t c, hid_t d), (a, b, c, d))
WRAP_HDF5_OPENING(H5Fopen, (const char *a, unsigned b, hid_t c), (a, b, c))
WRAP_HDF5_OPENING(H5Gcreate2, (hid_t a, const char *b, hid_t c, hid_t d, hid_t e), (a, b, c, d, e))
WRAP_HDF5_OPENING(H5Gget_create_plist, (hid_t a), (a))
WRAP_HDF5_OPENING(H5Gopen2, (hid_t a, const char *b, hid_t c), (a, b, c))
WRAP_HDF5_OPENING(H5Iget_file_id, (hid_t a), (a))
WRAP_HDF5_OPENING(H5Oopen, (hid_t a, const char *b, hid_t c), (a, b, c))
WRAP_HDF5_OPENING(H5Pcreate, (hid_t a), (a))
WRAP_HDF5_OPENING(H5Screate, (H5S_class_t a), (a))
WRAP_HDF5_OPENING(H5Screate_simple, (int a, const hsize_t *b, const hsize_t *c), (a, b, c))
WRAP_HDF5_OPENING(H5Tcopy, (hid_t a), (a))

WRAP_HDF5_CLOSING(H5Aclose)
WRAP_HDF5_CLOSING(H5Dclose)
WRAP_HDF5_CLOSING(H5FDunregister)
WRAP_HDF5_CLOSING(H5Fclose)
WRAP_HDF5_CLOSING(H5Gclose)
WRAP_HDF5_CLOSING(H5Idec_ref)
WRAP_HDF5_CLOSING(H5Oclose)
WRAP_HDF5_CLOSING(H5Pclose)
WRAP_HDF5_CLOSING(H5Sclose)
WRAP_HDF5_CLOSING(H5Tclose)

WRAP_HDF5(H5Aexists, htri_t, (hid_t a, const char *b), (a, b), -1)
WRAP_HDF5(H5Aiterate2, herr_t, (hid_t a, H5_index_t b, H5_iter_order_t c, hsize_t *d, H5A_operator2_t e, void *f),
          (a, b, c, d, e, f), -1)
WRAP_HDF5(H5Aread, herr_t, (hid_t a, hid_t b, void *c), (a, b, c), -1)
WRAP_HDF5(H5Awrite, herr_t, (hid_t a, hid_t b, const void *c), (a, b, c), -1)
WRAP_HDF5(H5DSattach_scale, herr_t, (hid_t a, hid_t b, unsigned int c), (a, b, c), -1)
WRAP_HDF5(H5DSset_scale, herr_t, (hid_t a, const char *b), (a, b), -1)
WRAP_HDF5(H5Dget_num_chunks, herr_t, (hid_t a, hid_t b, hsize_t *c), (a, b, c), -1)
WRAP_HDF5(H5Dget_offset, haddr_t, (hid_t a), (a), HADDR_UNDEF)
WRAP_HDF5(H5Dget_space_status, herr_t, (hid_t a, H5D_space_status_t *b), (a, b), -1)
WRAP_HDF5(H5Dread, herr_t, (hid_t a, hid_t b, hid_t c, hid_t d, hid_t e, void *f), (a, b, c, d, e, f), -1)
WRAP_HDF5(H5Dvlen_reclaim, herr_t, (hid_t a, hid_t b, hid_t c, void *d), (a, b, c, d), -1)
WRAP_HDF5(H5Dwrite, herr_t, (hid_t a, hid_t b, hid_t c, hid_t d, hid_t e, const void *f), (a, b, c, d, e, f), -1)
WRAP_HDF5(H5Dwrite_chunk, herr_t, (hid_t a, hid_t b, uint32_t c, const hsize_t *d, size_t e, const void *f),
          (a, b, c, d, e, f), -1)
WRAP_HDF5(H5Dget_storage_size, hsize_t, (hid_t a), (a), (hsize_t)0)
WRAP_HDF5(H5Fflush, herr_t, (hid_t a, H5F_scope_t b), (a, b), -1)
WRAP_HDF5(H5Fget_file_image, ssize_t, (hid_t a, void *b, size_t c), (a, b, c), -1)
WRAP_HDF5(H5Fget_filesize, herr_t, (hid_t a, hsize_t *b), (a, b), -1)
WRAP_HDF5(H5Fget_vfd_handle, herr_t, (hid_t a, hid_t b, void **c), (a, b, c), -1)
WRAP_HDF5(H5Fis_hdf5, htri_t, (const char *a), (a), -1)
WRAP_HDF5(H5Gget_info, herr_t, (hid_t a, H5G_info_t *b), (a, b), -1)
WRAP_HDF5(H5Iget_type, H5I_type_t, (hid_t a), (a), H5I_BADID)
WRAP_HDF5(H5Lexists, htri_t, (hid_t a, const char *b, hid_t c), (a, b, c), -1)
WRAP_HDF5(H5Lget_info, herr_t, (hid_t a, const char *b, H5L_info_t *c, hid_t d), (a, b, c, d), -1)
WRAP_HDF5(H5Lis_registered, htri_t, (H5L_type_t a), (a), -1)
WRAP_HDF5(H5Lunregister, herr_t, (H5L_type_t a), (a), -1)
WRAP_HDF5(H5Literate, herr_t, (hid_t a, H5_index_t b, H5_iter_order_t c, hsize_t *d, H5L_iterate_t e, void *f),
          (a, b, c, d, e, f), -1)
WRAP_HDF5(H5Pget_attr_creation_order, herr_t, (hid_t a, unsigned *b), (a, b), -1)
WRAP_HDF5(H5Pget_chunk, int, (hid_t a, int b, hsize_t *c), (a, b, c), -1)
WRAP_HDF5(H5Pget_driver_info, const void *, (hid_t a), (a), NULL)
WRAP_HDF5(H5Pget_external_count, int, (hid_t a), (a), -1)
WRAP_HDF5(H5Pget_filter2, H5Z_filter_t,
          (hid_t a, unsigned b, unsigned int *c, size_t *d, unsigned *e, size_t f, char *g, unsigned *h),
          (a, b, c, d, e, f, g, h), H5Z_FILTER_ERROR)
WRAP_HDF5(H5Pget_layout, H5D_layout_t, (hid_t a), (a), H5D_LAYOUT_ERROR)
WRAP_HDF5(H5Pget_link_creation_order, herr_t, (hid_t a, unsigned *b), (a, b), -1)
WRAP_HDF5(H5Pget_nfilters, int, (hid_t a), (a), -1)
WRAP_HDF5(H5Pset_attr_creation_order, herr_t, (hid_t a, unsigned b), (a, b), -1)
WRAP_HDF5(H5Pset_buffer, herr_t, (hid_t a, size_t b, void *c, void *d), (a, b, c, d), -1)
WRAP_HDF5(H5Pset_chunk, herr_t, (hid_t a, int b, const hsize_t *c), (a, b, c), -1)
WRAP_HDF5(H5Pset_chunk_cache, herr_t, (hid_t a, size_t b, size_t c, double d), (a, b, c, d), -1)
WRAP_HDF5(H5Pset_deflate, herr_t, (hid_t a, unsigned b), (a, b), -1)
WRAP_HDF5(H5Pset_driver, herr_t, (hid_t a, hid_t b, const void *c), (a, b, c), -1)
WRAP_HDF5(H5Pset_fapl_core, herr_t, (hid_t a, size_t b, hbool_t c), (a, b, c), -1)
WRAP_HDF5(H5Pset_file_locking, herr_t, (hid_t a, hbool_t b, hbool_t c), (a, b, c), -1)
WRAP_HDF5(H5Pset_fill_time, herr_t, (hid_t a, H5D_fill_time_t b), (a, b), -1)
WRAP_HDF5(H5Pset_fill_value, herr_t, (hid_t a, hid_t b, const void *c), (a, b, c), -1)
WRAP_HDF5(H5Pset_libver_bounds, herr_t, (hid_t a, H5F_libver_t b, H5F_libver_t c), (a, b, c), -1)
WRAP_HDF5(H5Pset_link_creation_order, herr_t, (hid_t a, unsigned b), (a, b), -1)
WRAP_HDF5(H5Pset_obj_track_times, herr_t, (hid_t a, hbool_t b), (a, b), -1)
WRAP_HDF5(H5Pset_shuffle, herr_t, (hid_t a), (a), -1)
WRAP_HDF5(H5Sget_simple_extent_dims, int, (hid_t a, hsize_t *b, hsize_t *c), (a, b, c), -1)
WRAP_HDF5(H5Sget_simple_extent_ndims, int, (hid_t a), (a), -1)
WRAP_HDF5(H5Sget_simple_extent_npoints, hssize_t, (hid_t a), (a), -1)
WRAP_HDF5(H5Sget_simple_extent_type, H5S_class_t, (hid_t a), (a), H5S_NO_CLASS)
WRAP_HDF5(H5Sselect_hyperslab, herr_t,
          (hid_t a, H5S_seloper_t b, const hsize_t *c, const hsize_t *d, const hsize_t *e, const hsize_t *f),
          (a, b, c, d, e, f), -1)
WRAP_HDF5(H5Tequal, htri_t, (hid_t a, hid_t b), (a, b), -1)
WRAP_HDF5(H5Tget_class, H5T_class_t, (hid_t a), (a), H5T_NO_CLASS)
WRAP_HDF5(H5Tget_cset, H5T_cset_t, (hid_t a), (a), H5T_CSET_ERROR)
WRAP_HDF5(H5Tget_ebias, size_t, (hid_t a), (a), 0)
WRAP_HDF5(H5Tget_fields, herr_t, (hid_t a, size_t *b, size_t *c, size_t *d, size_t *e, size_t *f), (a, b, c, d, e, f),
          -1)
WRAP_HDF5(H5Tget_norm, H5T_norm_t, (hid_t a), (a), H5T_NORM_ERROR)
WRAP_HDF5(H5Tget_offset, int, (hid_t a), (a), -1)
WRAP_HDF5(H5Tget_order, H5T_order_t, (hid_t a), (a), H5T_ORDER_ERROR)
WRAP_HDF5(H5Tget_precision, size_t, (hid_t a), (a), 0)
WRAP_HDF5(H5Tget_sign, H5T_sign_t, (hid_t a), (a), H5T_SGN_ERROR)
WRAP_HDF5(H5Tget_size, size_t, (hid_t a), (a), 0)
WRAP_HDF5(H5Tis_variable_str, htri_t, (hid_t a), (a), -1)
WRAP_HDF5(H5Tset_cset, herr_t, (hid_t a, H5T_cset_t b), (a, b), -1)
WRAP_HDF5(H5Tset_size, herr_t, (hid_t a, size_t b), (a, b), -1)
WRAP_HDF5(H5Zfilter_avail, htri_t, (H5Z_filter_t a), (a), -1)
