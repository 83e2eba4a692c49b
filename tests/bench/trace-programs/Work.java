import java.util.ArrayList;
import java.util.HashMap;
import java.util.concurrent.ThreadLocalRandom;

public class Work {
    static final ArrayList<byte[]> LISTENERS = new ArrayList<>();

    public static void main(String[] arguments) throws Exception {
        int leak = Integer.parseInt(arguments[0]);
        int work = Integer.parseInt(arguments[1]);
        var cache = new HashMap<Integer, byte[]>();
        for (int tick = 0; ; tick++) {
            for (int n = 0; n < leak; n++) LISTENERS.add(new byte[1024]);
            for (int n = 0; n < work; n++) {
                var data = new byte[ThreadLocalRandom.current().nextInt(1000, 30_000)];
                cache.put(ThreadLocalRandom.current().nextInt(1000), data);
            }
            Thread.sleep(1000);
        }
    }
}
