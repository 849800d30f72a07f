package __package__;

/** What the payload serves on vsock port 5678. */
interface I__Name__ {
    int add(int left, int right);

    /** A greeting. Throws EX_ILLEGAL_ARGUMENT for an empty name. */
    String greet(String name);
}
