/// A Java program that stands at its -Xmx and collects garbage all the time: it keeps what
/// its argument says in MiB, and replaces some of it. It ends when its input ends.
public class Busy {
    static final int BLOCK = 1 << 16;

    public static void main(String[] arguments) throws Exception {
        byte[][] blocks = new byte[Integer.parseInt(arguments[0]) << 4][];
        for (int i = 0; i < blocks.length; i++) {
            blocks[i] = new byte[BLOCK];
        }
        Thread thread = new Thread(() -> replace(blocks));
        thread.setDaemon(true);
        thread.start();
        System.out.println("ready");
        while (System.in.read() >= 0) {
        }
    }

    /// About 6 MiB a second.
    static void replace(byte[][] blocks) {
        for (int i = 0;; i = (i + 1) % blocks.length) {
            blocks[i] = new byte[BLOCK];
            try {
                Thread.sleep(10);
            } catch (InterruptedException stop) {
                return;
            }
        }
    }
}
