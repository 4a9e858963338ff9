pragma circom 2.1.0;
// y is public: (product of a[i]) * b == y; and a[0] must not be zero; c is a bit matrix.
template Small(n) {
    signal input a[n];
    signal input b;
    signal input c[2][2];
    signal output y;
    signal input z;
    signal acc[n + 1];
    acc[0] <== b;
    for (var i = 0; i < n; i++) { acc[i + 1] <== acc[i] * a[i]; }
    for (var i = 0; i < 2; i++) for (var j = 0; j < 2; j++) c[i][j] * (c[i][j] - 1) === 0;
    signal inv;
    inv <-- 1 / z;
    inv * z === 1;
    assert(b < 1000);
    y <== acc[n] + c[0][1] * c[1][0];
}
component main {public [z]} = Small(6);
