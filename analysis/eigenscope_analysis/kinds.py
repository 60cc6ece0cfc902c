"""Kinds of the layers of a transformer, by their names in PyTorch and Hugging Face: query, key, value, output, feed-forward."""
import re

import numpy as np

OTHER = "other"
# In the order of the data. The first pattern that the end of a name matches decides.
PATTERNS = (("query, key, value", r"c_attn|(in|qkv)_proj|w?qkv|query_key_value"),
            ("query", r"w?q|query|queries|to_q|q_(proj|lin|linear)|query_proj"),
            ("key", r"w?k|keys?|to_k|k_(proj|lin|linear)|key_proj"),
            ("value", r"w?v|values?|to_v|v_(proj|lin|linear)|value_proj"),
            ("output", r"(self_|cross_)?att(entio)?n|self_attention|multihead_attn|attention\.output\.dense|att(entio)?n\.(c_)?proj|"
                       r"(self_)?att(entio)?n\.dense|(self|encdec)attention\.o|att(entio)?n\.wo|o_proj|out_(proj|lin)|to_out(\.0)?"),
            ("feed-forward gate", r"gate_proj|feed_forward\.w1|mlp\.w1|wi_0"),
            ("feed-forward in", r"intermediate\.dense|up_proj|c_fc|fc1|fc_in|lin1|linear1|wi(_1)?|w1|w3|dense_h_to_4h"),
            ("feed-forward out", r"output\.dense|down_proj|mlp\.(c_)?proj|fc2|fc_out|lin2|linear2|wo|w2|dense_4h_to_h"))
NAMES = tuple(kind for kind, _ in PATTERNS)
FEED_FORWARD = NAMES[5:]


def kind_of(name):
    return next((kind for kind, pattern in PATTERNS if re.search(rf"(^|\.)({pattern})$", str(name).lower())), OTHER)


def kinds_of(names):
    """The kind of each layer of a transformer; None for other networks: those without attention beside a feed-forward layer."""
    kinds = [kind_of(name) for name in names]
    attention = [kind for kind in kinds if kind not in (*FEED_FORWARD, OTHER)]
    projected = len({"query", "key", "value"} & set(kinds)) >= 2
    return np.array(kinds) if projected or (attention and any(kind in FEED_FORWARD for kind in kinds)) else None


def blocks_of(names):
    """Number of the block of each layer, from 0 over all stacks (as encoder and decoder); −1 for layers outside of blocks."""
    found = {}
    places = [re.match(r"(.*?)\.?\b(\d+)\.", str(name)) for name in names]
    return np.array([found.setdefault(place.group(0), len(found)) if place else -1 for place in places])


def grouped(names):
    """[(kind, positions of its layers)] of a transformer, in the order of the data."""
    kinds = kinds_of(names)
    return [(kind, np.flatnonzero(kinds == kind)) for kind in (*NAMES, OTHER) if (kinds == kind).any()]
