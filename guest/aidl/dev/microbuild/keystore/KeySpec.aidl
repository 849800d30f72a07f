package dev.microbuild.keystore;

import dev.microbuild.keystore.Algorithm;

/** Which key: all of it takes part in the key's derivation. */
parcelable KeySpec {
    /** 1 to 128 characters from "!" to "~" of ASCII. */
    String alias;
    Algorithm algorithm;
    /** From 0; the next one is a new key under the same alias. */
    int version = 0;
}
